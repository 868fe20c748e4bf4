"""Counting processes by their numbers."""

import os
from pathlib import Path

from atoll.guest.pid_count import PidCount


def test_processes_are_counted() -> None:
    count = PidCount()
    before = count.total()
    for _ in range(5):
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    assert before + 5 <= count.total()
    assert count.total() < before + (1 << 31), "known"


def test_numbers_that_begin_anew_count_as_more_than_anybody_has(tmp_path: Path) -> None:
    loadavg = tmp_path / "loadavg"
    loadavg.write_text("0.00 0.01 0.05 1/80 32000\n")
    count = PidCount(str(loadavg))
    loadavg.write_text("0.00 0.01 0.05 1/80 00310\n")
    assert count.total() == 1 << 31
    loadavg.write_text("0.00 0.01 0.05 1/80 00317\n")
    assert count.total() == (1 << 31) + 7


def test_a_kernel_that_does_not_tell(tmp_path: Path) -> None:
    count = PidCount(str(tmp_path / "missing"))
    assert count.total() == 1 << 31
    for _ in range(3):
        count.total()
    assert count.total() == 5 << 31
    empty = tmp_path / "empty"
    empty.write_text("")
    assert PidCount(str(empty)).total() == 1 << 31
