"""What the kernel counts, read from its tables."""

import os
from pathlib import Path

from benchmarks.memory import available_bytes, proportional_bytes


def test_what_the_host_has_left(tmp_path: Path) -> None:
    table = tmp_path / "meminfo"
    table.write_text("MemTotal:  200 kB\nMemFree:  20 kB\nMemAvailable:   100 kB\n")
    assert available_bytes(table) == 100 << 10


def test_shares_add_up(tmp_path: Path) -> None:
    for pid, kib in ((7, 30), (8, 12)):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / f"{pid}/smaps_rollup").write_text(f"00-ff ---p 00 00:00 0 [rollup]\nRss: 99 kB\nPss: {kib} kB\n")
    assert proportional_bytes([7, 8, 9], tmp_path) == 42 << 10


def test_this_machine_has_such_tables() -> None:
    assert available_bytes() > 1 << 20
    assert proportional_bytes([os.getpid()]) > 1 << 20
