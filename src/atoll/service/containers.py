"""The life of a container: made, listed, looked at, deleted."""

from atoll.model.containers import Container, NewContainer
from atoll.model.ids import ProjectId
from atoll.model.pages import Page, PageQuery


class Containers:
    """Use cases of ``/v1/containers``."""

    async def create(self, project_id: ProjectId, new: NewContainer) -> Container:
        """Make a container with a sandbox behind it and the named files in it.

        Two files of ``file_ids`` with one name do not overwrite each other: the second goes to
        ``/mnt/data/<file_id>-<filename>``. Raises ``InvalidRequestError``, ``NotFoundError`` (a file id),
        ``BusyError`` (no room on the machine), ``StorageFullError``, ``SandboxFailedError``.
        """
        raise NotImplementedError

    async def list(self, project_id: ProjectId, query: PageQuery, name: str | None = None) -> Page[Container]:
        """Give one page; ``name`` filters exactly. Raises ``InvalidRequestError`` (limit, malformed ``after``)."""
        raise NotImplementedError

    async def retrieve(self, project_id: ProjectId, container_id: str) -> Container:
        """Give a container, expired ones too; looking at a running one counts as use. Raises ``NotFoundError``."""
        raise NotImplementedError

    async def delete(self, project_id: ProjectId, container_id: str) -> None:
        """Remove a container and all that is in it; its calls end. Raises ``NotFoundError``."""
        raise NotImplementedError
