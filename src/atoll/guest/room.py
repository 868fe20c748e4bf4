"""Starts what people's calls need, and makes room when the sandbox has no process left to give.

A fork bomb left behind by an earlier call takes every process the sandbox may have. Nothing could ever be started
again, so the agent ends all of people's processes (it needs no new one for that) and tries again.
"""

import errno
from collections.abc import Callable
from typing import Final

from atoll.guest.options import People
from atoll.guest.processes import kill_all
from atoll.guest.reactor import ErrorHandler, Reactor

FULL_NOTE: Final = (
    "[atoll] The container had no processes or memory left to start this call. All its processes were ended; "
    "variables are lost, files in /mnt/data are kept."
)
_RETRY_S: Final = 0.05
_RETRIES_MAX: Final = 60
_NO_ROOM: Final = frozenset({errno.EAGAIN, errno.ENOMEM})


class Room:
    """Retries starts that fail for want of processes."""

    def __init__(self, reactor: Reactor, people: People, is_ours: Callable[[int], bool]) -> None:
        self._reactor = reactor
        self._people = people
        self._is_ours = is_ours

    def kill_all(self) -> None:
        """End every process of people's code."""
        kill_all(self._people, self._is_ours)

    def start(
        self,
        attempt: Callable[[], None],
        *,
        on_full: Callable[[], None],
        on_failure: Callable[[OSError], None],
        on_error: ErrorHandler,
    ) -> None:
        """Call ``attempt`` now, and again after making room (told by ``on_full``) while it raises ``OSError``."""
        self._try(attempt, on_full, on_failure, on_error, _RETRIES_MAX)

    def _try(
        self,
        attempt: Callable[[], None],
        on_full: Callable[[], None],
        on_failure: Callable[[OSError], None],
        on_error: ErrorHandler,
        left: int,
    ) -> None:
        try:
            attempt()
        except OSError as error:
            if error.errno not in _NO_ROOM or left == 0:
                on_failure(error)
                return
            if left == _RETRIES_MAX:
                on_full()
            self.kill_all()
            self._reactor.call_later(
                _RETRY_S, lambda: self._try(attempt, on_full, on_failure, on_error, left - 1), on_error
            )
