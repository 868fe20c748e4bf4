"""What the pool decides: whom one fits, how many, what next."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from atoll.runtime.contract import SandboxSpec
from atoll.runtime.oci import pool
from atoll.runtime.oci.admission import Machine
from atoll.runtime.oci.pool import PATIENCE_S, Demand, Sight, Step, Way, next_step, room, target_of

GIB = 1 << 30
READY = SandboxSpec(memory_bytes=GIB, disk_bytes=8 * GIB, pids_max=256, cpus=2.0)
MACHINE = Machine(
    memory_bytes=8 * GIB,
    memory_free_bytes=4 * GIB,
    memory_free_bytes_min=GIB,
    memory_overcommit=2.0,
    disk_free_bytes=11 * GIB,
    disk_free_bytes_min=GIB,
    disk_overcommit=4.0,
    sandboxes_max=10,
)
SIGHTS = st.builds(
    Sight,
    ready=st.integers(0, 50),
    target=st.integers(0, 50),
    way=st.sampled_from(Way),
    room=st.integers(-50, 50),
    creating=st.integers(0, 9),
    cpu_wait=st.floats(0, 1),
    put_off_s=st.floats(0, 60),
)


def test_whom_one_fits() -> None:
    assert pool.fits(READY, READY)
    assert pool.fits(replace(READY, memory_bytes=4 * GIB, pids_max=9, cpus=0.1), READY)
    assert pool.fits(replace(READY, memory_bytes=pool.MEMORY_BYTES_MIN), READY)
    assert not pool.fits(replace(READY, memory_bytes=pool.MEMORY_BYTES_MIN - 1), READY)
    assert not pool.fits(replace(READY, disk_bytes=READY.disk_bytes + 1), READY)


@given(SIGHTS)
def test_one_step_at_a_time_towards_the_target(sight: Sight) -> None:
    step = next_step(sight)
    too_many = sight.ready > 0 and (sight.ready > sight.target or sight.room < 0)
    assert (step is Step.GIVE_UP) == too_many
    if step is Step.MAKE:
        assert sight.ready < sight.target
        assert sight.room > 0
        assert sight.way is not Way.WAIT
        assert sight.put_off_s >= PATIENCE_S[sight.way] or sight.cpu_wait <= 0.5
        assert sight.put_off_s >= PATIENCE_S[sight.way] or sight.creating == 0 or sight.way is Way.FORK


@given(SIGHTS)
def test_a_quiet_machine_comes_to_the_target_and_stays(sight: Sight) -> None:
    sight = replace(sight, creating=0, cpu_wait=0.0)
    for _ in range(200):
        step = next_step(sight)
        change = {Step.MAKE: 1, Step.GIVE_UP: -1, Step.REST: 0}[step]
        sight = replace(sight, ready=sight.ready + change, room=sight.room - change)
    assert next_step(sight) is Step.REST
    assert sight.ready <= sight.target
    assert sight.room >= 0 or sight.ready == 0
    assert sight.ready == sight.target or sight.room <= 0 or sight.way is Way.WAIT


def test_a_busy_machine_puts_it_off_but_not_for_ever() -> None:
    short = Sight(ready=0, target=1, way=Way.START, room=1, creating=0, cpu_wait=0.5, put_off_s=0.0)
    forked = replace(short, way=Way.FORK, creating=1)
    assert next_step(short) is Step.MAKE
    assert next_step(forked) is Step.MAKE
    for busy in (replace(short, creating=1), replace(short, cpu_wait=0.51), replace(forked, cpu_wait=0.51)):
        assert next_step(busy) is Step.REST
        assert next_step(replace(busy, put_off_s=PATIENCE_S[busy.way])) is Step.MAKE
    assert PATIENCE_S[Way.FORK] < PATIENCE_S[Way.START]


def test_nothing_is_started_while_a_zygote_is_on_its_way() -> None:
    short = Sight(ready=0, target=1, way=Way.WAIT, room=1, creating=0, cpu_wait=0.0, put_off_s=99.0)
    assert next_step(short) is Step.REST


def test_those_that_are_started_are_fewer() -> None:
    assert [target_of(Way.START, target) for target in (0, 1, 8, 9, 64)] == [0, 1, 1, 2, 8]
    assert [target_of(way, 9) for way in (Way.FORK, Way.WAIT)] == [9, 9]


@given(
    bounds=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    asked=st.lists(st.floats(0, 200), max_size=40).map(sorted),
)
def test_the_target_follows_the_last_minute_within_the_bounds(bounds: tuple[int, int], asked: list[float]) -> None:
    least, most = bounds
    demand = Demand(least, most)
    for at in asked:
        demand.asked(at)
        recent = sum(at - pool.DEMAND_WINDOW_S <= other <= at for other in asked[: asked.index(at) + 1])
        assert min(least, most) <= demand.target(at) <= most
        assert demand.target(at) >= min(recent, most)
    assert demand.target(1000) == min(least, most)


@given(
    free=st.integers(0, 8 * GIB),
    disk=st.integers(0, 20 * GIB),
    sandboxes=st.integers(0, 20),
    ready=st.integers(0, 20),
)
def test_there_is_never_room_for_what_would_crowd_people_out(free: int, disk: int, sandboxes: int, ready: int) -> None:
    machine = replace(MACHINE, memory_free_bytes=free, disk_free_bytes=disk)
    more = room(machine, sandboxes=sandboxes, ready=ready, member_bytes=100 << 20)
    assert more >= -ready
    if more > 0:
        assert sandboxes + ready + more <= machine.sandboxes_max
        assert free - more * (100 << 20) >= 2 * machine.memory_free_bytes_min
        assert disk >= 2 * machine.disk_free_bytes_min
    if sandboxes >= machine.sandboxes_max or disk < 2 * machine.disk_free_bytes_min or free < machine.memory_bytes // 8:
        assert more <= 0


def test_what_is_short_is_given_up_for() -> None:
    assert room(MACHINE, sandboxes=0, ready=3, member_bytes=GIB) == 2
    assert room(replace(MACHINE, memory_free_bytes=GIB), sandboxes=0, ready=3, member_bytes=GIB) == -1
    assert room(replace(MACHINE, disk_free_bytes=2 * GIB - 1), sandboxes=0, ready=3, member_bytes=GIB) == -3
    assert room(MACHINE, sandboxes=9, ready=3, member_bytes=1) == -2
