"""The way to a container: found in the caller's project, and let in only while it can be used."""

from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

from atoll import about
from atoll.cancellation import finish
from atoll.model.containers import Container, ContainerStatus
from atoll.model.errors import NotFoundError
from atoll.model.ids import ContainerId, ProjectId, is_id
from atoll.service.activity import Activity
from atoll.store import containers
from atoll.store.database import Database


class Access:
    """Finds containers. One of another project does not exist, as far as a caller can tell."""

    def __init__(self, database: Database, activity: Activity) -> None:
        self._database = database
        self._activity = activity

    async def find(self, project_id: ProjectId, container_id: str) -> Container:
        """Give a container as it counts now. Raises ``NotFoundError``."""
        return self._activity.seen(await self._row(project_id, container_id))

    def use(self, project_id: ProjectId, container_id: str) -> "Use":
        """Hold a container while the body runs. Entering raises ``NotFoundError``, ``ContainerExpiredError``."""
        return Use(self._activity, self._row(project_id, container_id))

    async def look(self, project_id: ProjectId, container_id: str) -> Container:
        """Give a container, which counts as use while it can be used. Raises ``NotFoundError``."""
        row = await self._row(project_id, container_id)
        seen = self._activity.seen(row)
        if seen.status is ContainerStatus.EXPIRED:
            return seen
        used = self._activity.touch(row)
        keeping = self._activity.keep(row, used)
        if keeping is not None:
            await finish(keeping)
        return used

    async def _row(self, project_id: ProjectId, container_id: str) -> Container:
        if not is_id("cntr_", container_id):
            raise no_container(container_id)
        known = ContainerId(container_id)
        container = await self._database.read(lambda connection: containers.find(connection, project_id, known))
        if container is None:
            raise no_container(container_id)
        about.note_container(container.id)
        return container


class Use(AbstractAsyncContextManager[Container]):
    """A container in use while the body runs. A class, because every call has one and a generator costs more."""

    def __init__(self, activity: Activity, finding: Coroutine[Any, Any, Container]) -> None:
        self._activity = activity
        self._finding = finding

    async def __aenter__(self) -> Container:
        row = await self._finding
        container = self._activity.begin_hold(row)
        self._container_id = container.id
        self._keeping = self._activity.keep(row, container)
        return container

    async def __aexit__(self, *_: object) -> None:
        try:
            if self._keeping is not None:
                await finish(self._keeping)
        finally:
            self._activity.end_hold(self._container_id)


def no_container(container_id: str) -> NotFoundError:
    """Give the error for a container that is not there."""
    return NotFoundError(f"Container with id '{container_id}' not found.")
