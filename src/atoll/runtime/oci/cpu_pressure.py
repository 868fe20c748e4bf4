"""Measures how much the machine's processes wait for a CPU."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

_PRESSURE: Final = Path("/proc/pressure/cpu")
_BYTES_MAX: Final = 4096


class CpuPressure:
    """Looks at the kernel's pressure stall information; without it (``psi=0``), nobody ever waits."""

    def __init__(self, path: Path = _PRESSURE, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._last = (self._clock(), self._waited_s())

    def share(self) -> float:
        """Give the share of the time since the last look in which at least one process waited, from 0 to 1."""
        before, waited_before = self._last
        now, waited = self._last = (self._clock(), self._waited_s())
        return min(1.0, max(0.0, (waited - waited_before) / max(0.001, now - before)))

    def _waited_s(self) -> float:
        try:
            with self._path.open("rb") as file:
                return total_s(file.read(_BYTES_MAX))
        except OSError:
            return 0.0


def total_s(text: bytes) -> float:
    """Read ``total`` of the line ``some``; pure."""
    for line in text.splitlines():
        kind, *fields = line.split()
        if kind == b"some":
            return next((int(field[6:]) / 1e6 for field in fields if field.startswith(b"total=")), 0.0)
    return 0.0
