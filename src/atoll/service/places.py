"""Places for what stays open: so many of all projects together, of which one project never has the last quarter.

Otherwise whoever has one key could keep everybody else from watching their containers or opening a terminal.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from atoll.model.errors import BusyError
from atoll.model.ids import ProjectId


class Places:
    """``what`` names them in an error, ``reason`` in the metrics."""

    def __init__(self, most: int, *, what: str, reason: Literal["terminals", "event_streams"]) -> None:
        self._most = most
        self._most_of_one = -(-most * 3 // 4)
        self._what = what
        self._reason = reason
        self._taken: Counter[ProjectId] = Counter()

    def __len__(self) -> int:
        """Count those that are taken."""
        return self._taken.total()

    @contextmanager
    def taken(self, project_id: ProjectId) -> Iterator[None]:
        """Take one while the body runs. Raises ``BusyError``."""
        for who, count, most in (
            ("server", len(self), self._most),
            ("project", self._taken[project_id], self._most_of_one),
        ):
            if count >= most:
                raise BusyError(
                    f"The {who} has {count} {self._what}, the most that it may have.",
                    retry_after_s=60,
                    reason=self._reason,
                )
        self._taken[project_id] += 1
        try:
            yield
        finally:
            self._taken[project_id] -= 1
            self._taken += Counter()  # forgets projects that have none
