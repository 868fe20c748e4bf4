"""Keeps sandboxes from filling the host's disk: freezes them while too little of it is free.

Their disks are sparse and together may be promised more than there is. A disk that cannot grow any more would break
its file system; a frozen sandbox only waits. It goes on by itself when there is room again, which an operator makes,
or expiring containers do. Frozen sandboxes can be stopped and destroyed.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final

_log = logging.getLogger(__name__)

# No disk is filled faster than this, so the time to look again follows from how much is free.
_FASTEST_BYTES_PER_S: Final = 4 << 30
_INTERVAL_S_MIN: Final = 0.05
_INTERVAL_S_MAX: Final = 2.0


def must_freeze(free_bytes: int, free_bytes_min: int, *, is_frozen: bool) -> bool:
    """Decide: freeze below half the minimum, thaw above all of it. Pure."""
    return free_bytes < (free_bytes_min if is_frozen else free_bytes_min // 2)


def interval_s(free_bytes: int, free_bytes_min: int) -> float:
    """Give how long the floor is safe. Pure."""
    safe_s = (free_bytes - free_bytes_min // 2) / _FASTEST_BYTES_PER_S
    return min(_INTERVAL_S_MAX, max(_INTERVAL_S_MIN, safe_s))


class DiskGuard:
    """One thread; ``freeze`` and ``thaw`` act on every sandbox that runs and may be repeated."""

    def __init__(
        self,
        free_bytes: Callable[[], int],
        free_bytes_min: int,
        *,
        freeze: Callable[[], None],
        thaw: Callable[[], None],
    ) -> None:
        self._free_bytes = free_bytes
        self._free_bytes_min = free_bytes_min
        self._freeze = freeze
        self._thaw = thaw
        # A killed supervisor may have left sandboxes frozen: the first look thaws them or freezes them again.
        self._is_frozen = True
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._guard, name="disk-guard", daemon=True)

    def start(self) -> None:
        """Look once, then go on in a thread."""
        self._look()
        self._thread.start()

    def close(self) -> None:
        """End the thread; what is frozen stays so."""
        self._stop.set()
        self._thread.join()

    def _guard(self) -> None:
        pause_s = _INTERVAL_S_MIN
        while not self._stop.wait(pause_s):
            try:
                pause_s = interval_s(self._look(), self._free_bytes_min)
            except OSError:
                _log.exception("cannot guard the disk")
                pause_s = _INTERVAL_S_MAX

    def _look(self) -> int:
        free = self._free_bytes()
        freeze = must_freeze(free, self._free_bytes_min, is_frozen=self._is_frozen)
        if freeze:
            if not self._is_frozen:
                _log.error("only %d MiB of disk are free: all sandboxes are frozen until there is room", free >> 20)
            self._freeze()  # each time: some may have been started since
        elif self._is_frozen:
            self._thaw()
        self._is_frozen = freeze
        return free
