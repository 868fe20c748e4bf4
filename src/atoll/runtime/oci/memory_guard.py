"""Keeps sandboxes from taking the host's last memory: bounds what all of them together may hold.

Their limits together may be promised several times over. When they are used, somebody's process has to end, and
without this the kernel would look for it on the whole machine. The cgroup above all sandboxes has a limit of its own,
moved as the rest of the machine takes and gives memory: what sandboxes hold now and what is free, less a reserve. At
that limit the kernel first drops what it only caches for sandboxes, then ends the largest process in one of them.
"""

import errno
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from atoll.runtime.oci.cgroup import Cgroups, Held

_log = logging.getLogger(__name__)

# What the rest of the machine takes between two looks comes from the reserve; nothing is faster than this.
_FASTEST_BYTES_PER_S: Final = 4 << 30
_INTERVAL_S_MIN: Final = 0.05
_INTERVAL_S_MAX: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """``free_bytes`` of the machine; what all sandboxes hold, and how much of that the kernel can take back."""

    free_bytes: int
    held_bytes: int
    reclaimable_bytes: int

    @property
    def needed_bytes(self) -> int:
        """What sandboxes hold for good."""
        return max(0, self.held_bytes - self.reclaimable_bytes)


def limit_bytes(memory: Memory, reserve_bytes: int, most_bytes: int | None) -> int:
    """Give what sandboxes may hold together; ``most_bytes`` is the operator's bound. Pure.

    What the kernel can take back counts as free on the machine already, so it is not counted as held.
    """
    limit = memory.needed_bytes + max(0, memory.free_bytes - reserve_bytes)
    return limit if most_bytes is None else min(limit, most_bytes)


def interval_s(memory: Memory, reserve_bytes: int) -> float:
    """Give how long a limit is safe. Pure."""
    safe_s = (memory.free_bytes - reserve_bytes) / _FASTEST_BYTES_PER_S
    return min(_INTERVAL_S_MAX, max(_INTERVAL_S_MIN, safe_s))


class MemoryGuard:
    """One thread; ``free_bytes`` gives the machine's memory that could be used now."""

    def __init__(
        self, cgroups: Cgroups, free_bytes: Callable[[], int], *, reserve_bytes: int, most_bytes: int | None
    ) -> None:
        self._cgroups = cgroups
        self._free_bytes = free_bytes
        self._reserve_bytes = reserve_bytes
        self._most_bytes = most_bytes
        self._limit_bytes = 0
        self._has_failed = False
        self._is_tight = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._guard, name="memory-guard", daemon=True)

    @property
    def limit_bytes(self) -> int:
        """What sandboxes may hold together now; 0 where that cannot be bounded."""
        return self._limit_bytes

    def start(self) -> None:
        """Set the first limit, then go on in a thread."""
        self._look()
        self._thread.start()

    def close(self) -> None:
        """End the thread; the last limit stays, so that sandboxes are bound while no supervisor runs."""
        self._stop.set()
        self._thread.join()

    def _guard(self) -> None:
        pause_s = _INTERVAL_S_MIN
        while not self._stop.wait(pause_s):
            pause_s = self._look()

    def _look(self) -> float:
        """Set the limit; give how long it is safe."""
        try:
            held = self._held()
            memory = Memory(
                free_bytes=self._free_bytes(),
                held_bytes=held.held_bytes,
                reclaimable_bytes=held.reclaimable_bytes,
            )
            self._set(limit_bytes(memory, self._reserve_bytes, self._most_bytes), memory)
        except OSError as error:
            self._limit_bytes = 0
            if not self._has_failed:
                _log.warning("the memory of all sandboxes together cannot be bounded: %s", error)
            self._has_failed = True
            return _INTERVAL_S_MAX
        self._has_failed = False
        return interval_s(memory, self._reserve_bytes)

    def _held(self) -> Held:
        try:
            return self._cgroups.memory_of_all()
        except FileNotFoundError:
            self._cgroups.make_parent()
            return self._cgroups.memory_of_all()

    def _set(self, limit: int, memory: Memory) -> None:
        is_tight = memory.free_bytes <= self._reserve_bytes
        if is_tight and not self._is_tight:
            _log.error("only %d MiB of memory are free: sandboxes get no more", memory.free_bytes >> 20)
        self._is_tight = is_tight
        if limit == self._limit_bytes:
            return
        try:
            self._cgroups.limit_memory_of_all(limit)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            # Cgroup v1 ends nobody for a limit that is set: then at least nothing is added.
            limit = memory.held_bytes
            self._cgroups.limit_memory_of_all(limit)
        self._limit_bytes = limit
