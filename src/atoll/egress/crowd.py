"""Whose connection is the next when those of all sandboxes together are many; pure.

What a process may hold, descriptors above all, a few sandboxes could use up for all others. So the last part of it is
for those that have few connections.
"""

from typing import Final

FEW: Final = 16

# The program's socket and its copy where TLS is ended, the server's, two for looking its name up or four for pipes.
_DESCRIPTORS_EACH: Final = 8
_SHARE_FOR_ALL: Final = 0.75


class Crowd:
    """Counts connections. ``descriptors_max`` is what the process may have open."""

    def __init__(self, descriptors_max: int) -> None:
        self._many = int(descriptors_max * _SHARE_FOR_ALL) // _DESCRIPTORS_EACH
        self._total = 0

    def has_room(self, own: int) -> bool:
        """Tell whether a sandbox that has ``own`` connections may have one more now."""
        return own < FEW or self._total < self._many

    def enter(self) -> None:
        """Count one that begins."""
        self._total += 1

    def leave(self) -> None:
        """Count one that has ended."""
        self._total -= 1
