"""Counts what one connection moves, and knows when it last did."""

from collections.abc import Callable


class Meter:
    """``sent`` left the sandbox, ``received`` came in. ``spend`` is called with each count and may raise."""

    def __init__(self, clock: Callable[[], float], spend: Callable[[int], None]) -> None:
        self._clock = clock
        self._spend = spend
        self.sent = 0
        self.received = 0
        self.active_at = clock()

    def count_sent(self, size: int) -> None:
        """Count bytes on their way out."""
        self.sent += size
        self._count(size)

    def count_received(self, size: int) -> None:
        """Count bytes on their way in."""
        self.received += size
        self._count(size)

    def _count(self, size: int) -> None:
        self.active_at = self._clock()
        self._spend(size)
