"""Reading what a tree of processes holds out of ``/proc``."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from atoll.runtime.plain.keeper import descendants


@dataclass(frozen=True, slots=True)
class ProcessTree:
    """``memory_bytes`` counts shared pages in proportion; ``tasks`` are processes and threads, as a cgroup counts.

    ``cpu_s`` is the CPU time of those that are there and of their children that have ended.
    """

    memory_bytes: int
    tasks: int
    cpu_s: float


def measure_tree(ancestor_pid: int) -> ProcessTree:
    """Measure every process below one, without it; what ends meanwhile is not counted."""
    memory_bytes = tasks = ticks = 0
    for pid in descendants(ancestor_pid):
        with suppress(OSError):
            memory_bytes += _memory_bytes(pid)
            tasks += sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
            ticks += _cpu_ticks(pid)
    return ProcessTree(memory_bytes, tasks, ticks / os.sysconf("SC_CLK_TCK"))


def _cpu_ticks(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_bytes()
    return sum(map(int, stat.rpartition(b")")[2].split()[11:15]))  # of itself and of children, in user and kernel mode


def _memory_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except PermissionError:  # what cannot be traced shows only what it has in memory, shared pages in full
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
