"""Adds up over all sandboxes how often the kernel held them to their limits, those that are gone included.

A cgroup takes its counters with it, and its parent has none of them on cgroup v1. So each is read when its sandbox has
ended, and when somebody asks.
"""

import threading
from contextlib import suppress
from dataclasses import dataclass

from atoll.runtime.oci.cgroup import Cgroups


@dataclass(frozen=True, slots=True)
class Counts:
    """Processes ended for want of memory, and processes and threads that could not be started."""

    memory_kills: int = 0
    pids_refused: int = 0


class LimitCounts:
    """The sums since the supervisor's start. May be used from any thread."""

    def __init__(self, cgroups: Cgroups) -> None:
        self._cgroups = cgroups
        self._lock = threading.Lock()
        self._sum = Counts()
        self._seen: dict[str, Counts] = {}

    def adopt(self, sandbox_id: str) -> None:
        """Count from now on what an earlier supervisor left running."""
        with self._lock:
            self._seen[sandbox_id] = self._read(sandbox_id)

    def look(self, sandbox_id: str) -> None:
        """Add what came since the last look; call before the cgroup is removed."""
        with self._lock:
            before, now = self._seen.get(sandbox_id, Counts()), self._read(sandbox_id)
            self._seen[sandbox_id] = now
            self._sum = Counts(
                self._sum.memory_kills + max(0, now.memory_kills - before.memory_kills),
                self._sum.pids_refused + max(0, now.pids_refused - before.pids_refused),
            )

    def forget(self, sandbox_id: str) -> None:
        """The cgroup is removed: another of that name begins at nothing."""
        with self._lock:
            self._seen.pop(sandbox_id, None)

    def counts(self) -> Counts:
        """Give the sums."""
        with self._lock:
            return self._sum

    def _read(self, sandbox_id: str) -> Counts:
        with suppress(OSError):  # gone, or never made
            return Counts(self._cgroups.memory_kills(sandbox_id), self._cgroups.pids_refused(sandbox_id))
        return self._seen.get(sandbox_id, Counts())
