"""Who is let in, at each limit and one past it."""

from dataclasses import replace

import pytest

from atoll.runtime.contract import NoRoomError, SandboxSpec, SpecRefusedError
from atoll.runtime.oci.admission import Committed, Machine, check_room, check_spec

GIB = 1 << 30
SPEC = SandboxSpec(memory_bytes=GIB, disk_bytes=8 * GIB, pids_max=256, cpus=1.0)
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
NOTHING = Committed(memory_bytes=0, disk_bytes=0, sandboxes=0)


def test_a_spec_up_to_the_machine() -> None:
    check_spec(replace(SPEC, memory_bytes=8 * GIB), 8 * GIB)
    with pytest.raises(SpecRefusedError, match=r"8\.0 GiB"):
        check_spec(replace(SPEC, memory_bytes=8 * GIB + 1), 8 * GIB)


@pytest.mark.parametrize(
    "small",
    [
        replace(SPEC, memory_bytes=(32 << 20) - 1),
        replace(SPEC, disk_bytes=(64 << 20) - 1),
        replace(SPEC, pids_max=7),
        replace(SPEC, cpus=0.009),
    ],
)
def test_a_spec_too_small_to_live_on(small: SandboxSpec) -> None:
    with pytest.raises(SpecRefusedError):
        check_spec(small, 8 * GIB)


def test_memory_is_promised_up_to_the_overcommit() -> None:
    check_room(SPEC, MACHINE, replace(NOTHING, memory_bytes=15 * GIB), is_new=True)
    for is_new in (True, False):
        with pytest.raises(NoRoomError, match="memory"):
            check_room(SPEC, MACHINE, replace(NOTHING, memory_bytes=15 * GIB + 1), is_new=is_new)


def test_memory_that_is_free() -> None:
    check_room(SPEC, replace(MACHINE, memory_free_bytes=GIB), NOTHING, is_new=True)
    with pytest.raises(NoRoomError, match="memory"):
        check_room(SPEC, replace(MACHINE, memory_free_bytes=GIB - 1), NOTHING, is_new=False)


def test_disk_is_promised_up_to_the_overcommit() -> None:
    check_room(SPEC, MACHINE, replace(NOTHING, disk_bytes=32 * GIB), is_new=True)
    with pytest.raises(NoRoomError, match="disk"):
        check_room(SPEC, MACHINE, replace(NOTHING, disk_bytes=32 * GIB + 1), is_new=True)
    # One that comes back has its disk among what is promised.
    check_room(SPEC, MACHINE, replace(NOTHING, disk_bytes=100 * GIB), is_new=False)


def test_disk_that_is_free() -> None:
    check_room(SPEC, replace(MACHINE, disk_free_bytes=3 * GIB), NOTHING, is_new=True)
    for is_new in (True, False):
        with pytest.raises(NoRoomError, match="nearly full") as raised:
            check_room(SPEC, replace(MACHINE, disk_free_bytes=GIB), NOTHING, is_new=is_new)
        assert raised.value.retry_after_s == 60


def test_number_of_sandboxes() -> None:
    check_room(SPEC, MACHINE, replace(NOTHING, sandboxes=9), is_new=True)
    with pytest.raises(NoRoomError, match="10 sandboxes"):
        check_room(SPEC, MACHINE, replace(NOTHING, sandboxes=10), is_new=True)
    check_room(SPEC, MACHINE, replace(NOTHING, sandboxes=10), is_new=False)
