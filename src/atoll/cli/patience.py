"""How long a command that watches goes on asking a server that does not answer."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from atoll.cli.connection import NotNowError

GIVE_UP_S: Final = 60.0


class Patience:
    """Counts from the first failure behind an answer, however long that one was ago: a quiet hour uses none of it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lost_at: float | None = None

    @property
    def is_needed(self) -> bool:
        """Whether the last try failed."""
        return self._lost_at is not None

    def heard(self) -> None:
        """Note an answer."""
        self._lost_at = None

    @contextmanager
    def trying(self) -> Iterator[None]:
        """Ask in this block. Breaks and being sent away end it silently, until they have gone on for too long."""
        import httpx  # noqa: PLC0415 - slow to load, and `--help` needs none of it

        try:
            yield
        except (httpx.TransportError, NotNowError):
            self._lost_at = self._clock() if self._lost_at is None else self._lost_at
            if self._clock() - self._lost_at > GIVE_UP_S:
                raise
        else:
            self.heard()
