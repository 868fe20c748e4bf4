"""Whose turn it is: one call at a time in each container, in the order they came, and not too many waiting."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from atoll.model.errors import BusyError
from atoll.model.ids import ContainerId


class Turns:
    """A line for each container that has calls."""

    def __init__(self, waiting_max: int) -> None:
        self._waiting_max = waiting_max
        self._lines: WeakValueDictionary[ContainerId, _Line] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, container_id: ContainerId) -> AsyncIterator[None]:
        """Wait for the turn, and have it while the body runs. Raises ``BusyError`` when too many wait already."""
        line = self._lines.get(container_id)
        if line is None:
            line = self._lines[container_id] = _Line()
        if line.in_it > self._waiting_max:
            raise BusyError(
                f"The container has {self._waiting_max} calls waiting, the most that it may have.",
                retry_after_s=5,
            )
        line.in_it += 1
        try:
            async with line.lock:  # asyncio's locks are fair: first come, first served
                yield
        finally:
            line.in_it -= 1


class _Line:
    """``in_it`` counts who waits and who has the turn."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.in_it = 0
