"""Memory as the kernel counts it: what a host has left, and what processes hold together."""

from collections.abc import Iterable
from pathlib import Path

MB = 1_000_000


def available_bytes(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Give the host's ``MemAvailable``: what it could still hand out without swapping."""
    return _kib(meminfo.read_text(encoding="ascii"), "MemAvailable:") * 1024


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
