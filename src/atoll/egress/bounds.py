"""How much of everything one sandbox may take; pure."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """For each sandbox. ``bytes_max`` counts both ways, from the moment that its network was opened.

    ``hello_s_max`` is how long a connection may take to say whom it wants, ``dial_s_max`` how long the outside may
    take to answer, ``idle_s_max`` how long a connection may be silent.
    """

    connections_max: int = 128
    connections_per_s_max: float = 50.0
    queries_per_s_max: float = 200.0
    hello_s_max: float = 10.0
    dial_s_max: float = 15.0
    idle_s_max: float = 600.0
    bytes_max: int | None = None


class TokenBucket:
    """Lets ``per_s`` things a second through, and twice as many at once after a quiet time."""

    def __init__(self, per_s: float, clock: Callable[[], float]) -> None:
        self._per_s = per_s
        self._clock = clock
        self._tokens_max = max(1.0, 2 * per_s)
        self._tokens = self._tokens_max
        self._filled_at = clock()

    def take(self) -> float:
        """Take a token; gives 0, or the seconds until there will be one when there is none."""
        now = self._clock()
        self._tokens = min(self._tokens_max, self._tokens + (now - self._filled_at) * self._per_s)
        self._filled_at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._per_s
