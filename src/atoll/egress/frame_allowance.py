"""How many HTTP/2 frames that move nothing one side may send: bounded by time, and by what it moves besides; pure."""

from collections.abc import Callable
from typing import Final

_FRAMES_MAX: Final = 400.0
_FRAMES_PER_S: Final = 200.0
_BYTES_PER_FRAME: Final = 1024
_FRAMES_PER_ANSWER: Final = 16


class TooManyFramesError(Exception):
    """The other side keeps us busy for nothing."""


class FrameAllowance:
    """Pings, settings, resets, windows, heads: each is taken off; data that moves, and answers, give some back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left = _FRAMES_MAX
        self._filled_at = clock()

    def take(self, count: int) -> None:
        """Take so many off. Raises ``TooManyFramesError``."""
        now = self._clock()
        self._give(_FRAMES_PER_S * (now - self._filled_at))
        self._filled_at = now
        self._left -= count
        if self._left < 0:
            raise TooManyFramesError

    def give_for_bytes(self, size: int) -> None:
        """Something was moved."""
        self._give(size / _BYTES_PER_FRAME)

    def give_for_answer(self) -> None:
        """A request got its whole answer."""
        self._give(_FRAMES_PER_ANSWER)

    def _give(self, count: float) -> None:
        self._left = min(_FRAMES_MAX, self._left + count)
