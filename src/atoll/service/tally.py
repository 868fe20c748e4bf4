"""What was last seen of the limits that a sandbox may run into; pure.

Looking costs a question to the runtime, so each is asked for when it may have been met: memory when something was
killed, processes when as many were started as there was room for.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final, Self

from atoll.runtime.contract import Usage

# A sandbox that nobody has used yet has a few processes of its own.
_UNUSED_SHARE: Final = 2


class MemoryShortage(Enum):
    """Whose memory was used up when a process was ended for want of it."""

    CONTAINER = "container"
    MACHINE = "machine"


@dataclass(slots=True)
class Tally:
    """Counts at the last look, and the agent's count of processes at which the limit may next have been met."""

    memory_kills: int = 0
    pids_refused: int = 0
    look_at_pids: int | None = 0
    """``None`` is never."""

    @classmethod
    def of_a_new_one(cls, pids_max: int) -> Self:
        """Begin with a sandbox that has just been started."""
        return cls(look_at_pids=pids_max // _UNUSED_SHARE)

    @classmethod
    def of_an_old_one(cls, usage: Usage) -> Self:
        """Begin with a sandbox of which nothing is known but what it holds now."""
        return cls(memory_kills=usage.memory_kills, pids_refused=usage.pids_refused)

    def memory_killed(self, usage: Usage) -> MemoryShortage | None:
        """Tell whether there were kills since the last look, which this is, and whose memory was short."""
        before, self.memory_kills = self.memory_kills, usage.memory_kills
        if usage.memory_kills <= before:
            return None
        return MemoryShortage.CONTAINER if usage.memory_was_full else MemoryShortage.MACHINE

    def may_be_full(self, pids_taken: int) -> bool:
        """Tell whether the limit of processes can have been met since the last look."""
        return self.look_at_pids is not None and pids_taken >= self.look_at_pids

    def was_full(self, usage: Usage, pids_taken: int) -> bool:
        """Tell whether it was. ``pids_taken`` was counted before ``usage`` was measured."""
        self.look_at_pids = None if usage.pids_max is None else pids_taken + usage.pids_max - usage.pids
        before, self.pids_refused = self.pids_refused, usage.pids_refused
        return usage.pids_refused > before
