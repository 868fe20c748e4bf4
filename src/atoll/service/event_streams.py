"""Watching a container: who may, and how many at once. Watching is no use: it keeps no container from expiring."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from atoll.model.containers import ContainerStatus
from atoll.model.errors import ContainerExpiredError
from atoll.model.ids import ProjectId
from atoll.service.access import Access
from atoll.service.events import EventReader, Events
from atoll.service.limits import ServiceLimits
from atoll.service.places import Places


class EventStreams:
    """Use case of ``/v1/containers/{id}/events``."""

    def __init__(self, *, access: Access, events: Events, limits: ServiceLimits) -> None:
        self._access = access
        self._events = events
        self._places = Places(limits.event_streams_max, what="streams of events", reason="event_streams")

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
        with self._places.taken(project_id):
            container = await self._access.find(project_id, container_id)
            if container.status is ContainerStatus.EXPIRED:
                raise ContainerExpiredError
            with self._events.reading(container.id, after, param=param) as reader:
                yield reader
