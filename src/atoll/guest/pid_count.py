"""Counts the process numbers that the sandbox has given away, so that the host need not look at its limit each time.

A sandbox cannot see its own cgroup, and asking from outside after every call would cost more than many a call. But a
limit of processes cannot have been reached while fewer were started than there was room for. The kernel numbers
processes and threads one after the other, those that the limit then refuses included, and tells the last number.
"""

import os
from typing import Final

_LOADAVG: Final = "/proc/loadavg"
_LOADAVG_BYTES_MAX: Final = 128

# Where counting is not possible, or the numbers began anew: more than any sandbox may have.
_UNKNOWN: Final = 1 << 31
_TOTAL_MAX: Final = (1 << 63) - 1


class PidCount:
    """Counts from when it is made, and never down. Costs one read of a file that stays open."""

    def __init__(self, path: str = _LOADAVG) -> None:
        try:
            self._fd: int | None = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = None
        self._total = 0
        self._last = self._last_pid()

    def total(self) -> int:
        """Give how many numbers were given away so far; may be too many, never too few."""
        before, self._last = self._last, self._last_pid()
        self._total = min(self._total + _taken(before, self._last), _TOTAL_MAX)
        return self._total

    def _last_pid(self) -> int | None:
        if self._fd is None:
            return None
        try:
            # Five fields; the last is of the reader's own pid namespace.
            return int(os.pread(self._fd, _LOADAVG_BYTES_MAX, 0).split()[4])
        except (OSError, ValueError, IndexError):
            return None


def _taken(before: int | None, now: int | None) -> int:
    return _UNKNOWN if before is None or now is None or now < before else now - before
