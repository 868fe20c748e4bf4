"""When the limits of a sandbox are looked at, and what a look tells."""

from atoll.runtime.contract import Usage
from atoll.service.tally import MemoryShortage, Tally


def usage(*, pids: int = 1, pids_max: int | None = 100, refused: int = 0, kills: int = 0, full: bool = False) -> Usage:
    return Usage(
        memory_bytes=1,
        memory_kills=kills,
        memory_was_full=full,
        pids=pids,
        pids_max=pids_max,
        pids_refused=refused,
    )


def test_kills_are_told_once() -> None:
    tally = Tally.of_a_new_one(100)
    assert tally.memory_killed(usage(kills=1, full=True)) is MemoryShortage.CONTAINER
    assert tally.memory_killed(usage(kills=1, full=True)) is None
    assert Tally.of_an_old_one(usage(kills=3)).memory_killed(usage(kills=3, full=True)) is None


def test_a_kill_below_ones_own_limit_is_the_machines() -> None:
    tally = Tally.of_an_old_one(usage(kills=1))
    assert tally.memory_killed(usage(kills=2)) is MemoryShortage.MACHINE
    assert tally.memory_killed(usage(kills=2)) is None


def test_a_sandbox_that_starts_few_processes_is_not_looked_at() -> None:
    tally = Tally.of_a_new_one(100)
    assert not tally.may_be_full(49)
    assert tally.may_be_full(50)
    assert not tally.was_full(usage(pids=10), 50)
    assert not tally.may_be_full(139), "there was room for 90 more"
    assert tally.may_be_full(140)


def test_refusals_are_told_once_and_a_full_sandbox_is_always_looked_at() -> None:
    tally = Tally.of_a_new_one(100)
    assert tally.was_full(usage(pids=100, refused=7), 120)
    assert tally.may_be_full(120)
    assert not tally.was_full(usage(pids=100, refused=7), 120)
    assert tally.was_full(usage(pids=3, refused=8), 121)
    assert not tally.may_be_full(200)


def test_of_an_old_one_nothing_is_known_yet() -> None:
    tally = Tally.of_an_old_one(usage(refused=7))
    assert tally.may_be_full(0)
    assert not tally.was_full(usage(refused=7), 5000)


def test_without_a_limit_there_is_one_look() -> None:
    tally = Tally.of_a_new_one(100)
    assert not tally.was_full(usage(pids_max=None), 50)
    assert not tally.may_be_full(1 << 40)
