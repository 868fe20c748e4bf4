"""Whose turn it is: one call at a time in each container, in the order they came, and not too many waiting."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from atoll.model.errors import BusyError
from atoll.model.ids import ProjectId

_Line = deque[asyncio.Event]


class Turns:
    """A line for each container that has calls.

    The place is taken before anything else is known of the container, because looking it up may take one call longer
    than the next one. The project is part of the line's name, so that nobody can stand in another project's line.
    """

    def __init__(self, waiting_max: int) -> None:
        self._waiting_max = waiting_max
        self._lines: dict[tuple[ProjectId, str], _Line] = {}

    @contextmanager
    def place(self, project_id: ProjectId, container_id: str) -> Iterator[asyncio.Event]:
        """Stand in line while the body runs; the event is set when it is one's turn, which lasts until the end.

        Raises ``BusyError`` when too many wait already.
        """
        key = (project_id, container_id)
        line = self._lines.get(key, _Line())
        if len(line) > self._waiting_max:
            raise BusyError(
                f"The container has {self._waiting_max} calls waiting, the most that it may have.",
                retry_after_s=5,
                reason="calls_waiting",
            )
        turn = asyncio.Event()
        self._lines[key] = line
        line.append(turn)
        try:
            line[0].set()
            yield turn
        finally:
            line.remove(turn)
            if line:
                line[0].set()
            else:
                del self._lines[key]
