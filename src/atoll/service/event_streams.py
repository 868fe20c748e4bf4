"""Watching a container: who may, and how many at once. Watching is no use: it keeps no container from expiring."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from atoll.model.containers import ContainerStatus
from atoll.model.errors import BusyError, ContainerExpiredError
from atoll.model.ids import ProjectId
from atoll.service.access import Access
from atoll.service.events import EventReader, Events
from atoll.service.limits import ServiceLimits


class EventStreams:
    """Use case of ``/v1/containers/{id}/events``."""

    def __init__(self, *, access: Access, events: Events, limits: ServiceLimits) -> None:
        self._access = access
        self._events = events
        self._limits = limits
        self._open = 0

    @property
    def boot(self) -> str:
        """What the ids of all events of this server begin with."""
        return self._events.boot

    @asynccontextmanager
    async def reading(
        self, project_id: ProjectId, container_id: str, after: str | None, *, param: str = "after"
    ) -> AsyncIterator[EventReader]:
        """Read a container's events while the body runs, as ``Events.reading``.

        Raises ``NotFoundError``, ``ContainerExpiredError``, ``InvalidRequestError`` (``param``), ``BusyError``.
        """
        with self._counted():
            container = await self._access.find(project_id, container_id)
            if container.status is ContainerStatus.EXPIRED:
                raise ContainerExpiredError
            with self._events.reading(container.id, after, param=param) as reader:
                yield reader

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if self._open >= self._limits.event_streams_max:
            raise BusyError(
                f"The server has {self._open} streams of events, the most that it may have.",
                retry_after_s=60,
                reason="event_streams",
            )
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
