"""The keeper's thread, on a workshop that makes numbers."""

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from atoll.runtime.oci.pool import Demand, Way
from atoll.runtime.oci.pool_keeper import PoolKeeper, Workshop
from tests.harness.poll import wait_until


class Numbers:
    """Makes 1, 2, 3…; what was discarded or died is remembered."""

    def __init__(self) -> None:
        self.discarded: list[int] = []
        self.dead: set[int] = set()
        self.room = 100
        self.cpu_wait = 0.0
        self.way = Way.FORK
        self.made = 0
        self.looks = 0
        self.failures = 0
        self.gate = threading.Event()
        self.gate.set()
        self._numbers = itertools.count(1)

    def make(self) -> int:
        self.gate.wait(10)
        if self.failures:
            self.failures -= 1
            raise RuntimeError("no")
        self.made += 1
        return next(self._numbers)

    def look(self) -> Way:
        self.looks += 1
        return self.way

    def workshop(self) -> Workshop[int]:
        return Workshop(
            make=self.make,
            discard=self.discarded.append,
            is_alive=lambda one: one not in self.dead,
            way=self.look,
            room=lambda ready, _way: self.room - len(ready),
        )


@pytest.fixture
def numbers() -> Numbers:
    return Numbers()


@pytest.fixture
def keep(numbers: Numbers) -> Iterator[Callable[..., PoolKeeper[int]]]:
    keepers: list[PoolKeeper[int]] = []

    def make(pool_min: int = 2, pool_max: int = 4, idle_s: float = 0.01, **more: Any) -> PoolKeeper[int]:
        keepers.append(
            PoolKeeper(
                numbers.workshop(),
                Demand(pool_min, pool_max),
                cpu_wait=lambda: numbers.cpu_wait,
                idle_s=idle_s,
                failure_pause_s=0.01,
                **more,
            )
        )
        keepers[-1].start()
        return keepers[-1]

    yield make
    numbers.gate.set()
    for keeper in keepers:
        keeper.close()


def has(keeper: PoolKeeper[int], ready: int) -> None:
    wait_until(lambda: keeper.counts().ready == ready, what=f"{ready} ready; {keeper.counts()}")


def test_it_fills_up_to_the_least_and_refills(numbers: Numbers, keep: Callable[..., PoolKeeper[int]]) -> None:
    keeper = keep()
    has(keeper, 2)
    assert keeper.take() == 2
    has(keeper, 2)
    assert (numbers.made, numbers.discarded) == (3, [])


def test_it_follows_demand(keep: Callable[..., PoolKeeper[int]]) -> None:
    keeper = keep()
    for _ in range(9):
        keeper.asked()
    has(keeper, 4)
    assert keeper.counts().target == 4


def test_it_waits_for_a_zygote_and_keeps_fewer_without_one(
    numbers: Numbers, keep: Callable[..., PoolKeeper[int]]
) -> None:
    numbers.way = Way.WAIT
    keeper = keep(pool_min=9, pool_max=16)
    keeper.look()
    assert (keeper.counts().target, keeper.counts().ready) == (9, 0)
    numbers.way = Way.FORK
    has(keeper, 9)
    numbers.way = Way.START
    has(keeper, 2)
    assert keeper.counts().target == 2


def test_a_zygote_that_came_is_not_waited_for(numbers: Numbers, keep: Callable[..., PoolKeeper[int]]) -> None:
    numbers.way = Way.WAIT
    keeper = keep(idle_s=3600)
    wait_until(lambda: numbers.looks, what="a look in vain")
    numbers.way = Way.FORK
    keeper.look()
    has(keeper, 2)


class Clock:
    """Stands still; counts how often it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return self.now


def test_who_took_one_is_left_alone_with_the_machine(numbers: Numbers, keep: Callable[..., PoolKeeper[int]]) -> None:
    clock = Clock()
    keeper = keep(idle_s=3600, quiet_s=1.0, clock=clock)
    has(keeper, 2)
    keeper.asked()
    assert keeper.take() == 2
    looks, clock_looks = numbers.looks, clock.looks
    wait_until(lambda: clock.looks > clock_looks + 5, what="a keeper that waits")
    assert numbers.looks <= looks + 1  # the one that was on its way
    assert numbers.made == 2
    clock.now = 1.0
    has(keeper, 2)


def test_whoever_comes_to_an_empty_pool_does_not_wait_longer(
    numbers: Numbers, keep: Callable[..., PoolKeeper[int]]
) -> None:
    keeper = keep(idle_s=3600, quiet_s=3600)
    has(keeper, 2)
    for _ in range(2):
        keeper.take()
    keeper.asked()
    has(keeper, 2)


def test_the_dead_are_replaced(numbers: Numbers, keep: Callable[..., PoolKeeper[int]]) -> None:
    keeper = keep(idle_s=3600)
    has(keeper, 2)
    numbers.dead.add(1)
    keeper.look()
    wait_until(lambda: numbers.discarded == [1], what="the dead one discarded")
    has(keeper, 2)


def test_what_is_rejected_is_discarded_and_replaced(numbers: Numbers, keep: Callable[..., PoolKeeper[int]]) -> None:
    keeper = keep(idle_s=3600)
    has(keeper, 2)
    assert keeper.take() == 2
    keeper.reject(2)
    wait_until(lambda: numbers.discarded == [2], what="the rejected one discarded")
    has(keeper, 2)
    assert keeper.counts().target == 2


def test_it_is_given_up_when_room_gets_short(numbers: Numbers, keep: Callable[..., PoolKeeper[int]]) -> None:
    keeper = keep()
    has(keeper, 2)
    numbers.room = 0
    has(keeper, 0)
    assert sorted(numbers.discarded) == [1, 2]


def test_it_waits_while_the_machine_is_busy(numbers: Numbers, keep: Callable[..., PoolKeeper[int]]) -> None:
    numbers.cpu_wait = 1.0
    keeper = keep()
    with keeper.waiting():
        keeper.asked()
        assert keeper.counts().ready == 0
    numbers.cpu_wait = 0.0
    has(keeper, 2)


def test_a_failure_is_tried_again(numbers: Numbers, keep: Callable[..., PoolKeeper[int]]) -> None:
    numbers.failures = 1
    has(keep(), 2)


def test_closing_discards_all_and_what_is_being_made(numbers: Numbers, keep: Callable[..., PoolKeeper[int]]) -> None:
    keeper = keep()
    has(keeper, 2)
    numbers.gate.clear()
    keeper.take()
    closing = threading.Thread(target=keeper.close)
    closing.start()
    wait_until(lambda: keeper.must_stop, what="closing")
    numbers.gate.set()
    closing.join(10)
    assert keeper.take() is None
    assert len(numbers.discarded) == numbers.made - 1


def test_off(numbers: Numbers, keep: Callable[..., PoolKeeper[int]]) -> None:
    keeper = keep(2, 0)
    keeper.asked()
    assert keeper.counts().target == 0
    assert keeper.take() is None
    assert numbers.made == 0
