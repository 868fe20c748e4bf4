"""Memory as the kernel counts it: what a host has left, and what processes hold together."""

import os
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

MB = 1_000_000


def available_bytes(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Give the host's ``MemAvailable``: what it could still hand out without swapping."""
    return _kib(meminfo.read_text(encoding="ascii"), "MemAvailable:") * 1024


def settled_available_bytes() -> int:
    """Give the host's available memory: what is still to be written is written, and one second's median taken."""
    os.sync()
    samples = []
    for _ in range(10):
        samples.append(available_bytes())
        time.sleep(0.1)
    return round(statistics.median(samples))


def proportional_bytes(pids: Iterable[int], proc: Path = Path("/proc")) -> int:
    """Give what processes hold together: their own pages, and their share of those that others have, too.

    A process that ends meanwhile holds nothing.
    """
    total = 0
    for pid in pids:
        try:
            rollup = (proc / str(pid) / "smaps_rollup").read_text(encoding="ascii")
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += _kib(rollup, "Pss:") * 1024
    return total


def _kib(table: str, name: str) -> int:
    for line in table.splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise LookupError(f"no {name} in the table")
