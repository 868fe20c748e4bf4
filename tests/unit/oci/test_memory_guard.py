"""How far sandboxes may go together, and the thread that says so to the kernel."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from atoll.runtime.oci import cgroup
from atoll.runtime.oci.memory_guard import Memory, MemoryGuard, interval_s, limit_bytes
from tests.harness.poll import wait_until

MIB = 1 << 20
GIB = 1 << 30
MEMORY = Memory(free_bytes=4 * GIB, held_bytes=3 * GIB, reclaimable_bytes=GIB)


def test_the_limit_is_what_is_held_and_what_is_free_less_the_reserve() -> None:
    assert limit_bytes(MEMORY, 256 * MIB, None) == 2 * GIB + 4 * GIB - 256 * MIB
    assert limit_bytes(MEMORY, 256 * MIB, 5 * GIB) == 5 * GIB
    assert limit_bytes(MEMORY, 256 * MIB, 7 * GIB) == 2 * GIB + 4 * GIB - 256 * MIB


def test_what_can_be_taken_back_is_not_counted_twice() -> None:
    """Whatever part is cache: what is needed for good may grow by what is free less the reserve, and no further."""
    for reclaimable in (0, GIB, 3 * GIB):
        memory = replace(MEMORY, reclaimable_bytes=reclaimable)
        assert limit_bytes(memory, 256 * MIB, None) - memory.needed_bytes == 4 * GIB - 256 * MIB


def test_without_free_memory_nothing_is_added() -> None:
    for free_bytes in (256 * MIB, 255 * MIB, 0):
        assert limit_bytes(replace(MEMORY, free_bytes=free_bytes), 256 * MIB, None) == 2 * GIB


def test_less_free_memory_is_looked_at_more_often() -> None:
    assert interval_s(replace(MEMORY, free_bytes=8 * GIB), 0) == 1.0
    assert interval_s(replace(MEMORY, free_bytes=2 * GIB + 256 * MIB), 256 * MIB) == 0.5
    assert interval_s(replace(MEMORY, free_bytes=0), 256 * MIB) == 0.05


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "memory").mkdir()
    return tmp_path


def say(root: Path, held: int, cached: int) -> Path:
    parent = root / "memory/atoll"
    parent.mkdir(exist_ok=True)
    (parent / "memory.usage_in_bytes").write_text(str(held))
    (parent / "memory.stat").write_text(f"total_active_file {cached}\n")
    limit = parent / "memory.limit_in_bytes"
    limit.write_text("")
    return limit


def test_the_limit_follows_the_machine(root: Path) -> None:
    free = [4 * GIB]
    limit = say(root, 3 * GIB, GIB)
    guard = MemoryGuard(cgroup.detect("/atoll", root), lambda: free[0], reserve_bytes=GIB, most_bytes=None)
    guard.start()
    try:
        assert (limit.read_text(), guard.limit_bytes) == (str(5 * GIB), 5 * GIB)
        free[0] = 2 * GIB
        wait_until(lambda: guard.limit_bytes == 3 * GIB, what="the limit comes down")
        assert limit.read_text() == str(3 * GIB)
        free[0] = 0
        wait_until(lambda: guard.limit_bytes == 2 * GIB, what="nothing is added any more")
    finally:
        guard.close()


def test_a_limit_that_cannot_be_met_is_what_is_held(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    say(root, 3 * GIB, GIB)
    groups = cgroup.detect("/atoll", root)
    asked: list[int] = []

    def limit(limit_bytes: int) -> None:
        asked.append(limit_bytes)
        if limit_bytes < 3 * GIB:
            raise OSError(errno.EBUSY, "busy")

    monkeypatch.setattr(groups, "limit_memory_of_all", limit)
    guard = MemoryGuard(groups, lambda: 0, reserve_bytes=GIB, most_bytes=None)
    guard.start()
    guard.close()
    assert asked[:2] == [2 * GIB, 3 * GIB]
    assert guard.limit_bytes == 3 * GIB


def test_a_kernel_that_cannot_bound_it_is_said_once(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "memory").rmdir()
    (root / "memory").touch()
    guard = MemoryGuard(cgroup.detect("/atoll", root), lambda: GIB, reserve_bytes=0, most_bytes=None)
    guard.start()
    guard.close()
    assert guard.limit_bytes == 0
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "the memory of all sandboxes together cannot be bounded"
    ]
