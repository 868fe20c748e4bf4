"""Files in ``/mnt/data`` of a container, kept in step with what is really there."""

from collections.abc import AsyncIterator

from atoll.model.files import ByteRange, ContainerFile, FileContent
from atoll.model.ids import ProjectId
from atoll.model.pages import Page, PageQuery


class ContainerFiles:
    """Use cases of ``/v1/containers/{id}/files``. Every one counts as use of the container.

    Each raises ``NotFoundError`` (container or file), ``ContainerExpiredError``, ``BusyError`` (no room to wake the
    sandbox) and ``SandboxFailedError``.
    """

    async def put(
        self, project_id: ProjectId, container_id: str, filename: str, chunks: AsyncIterator[bytes]
    ) -> ContainerFile:
        """Write a file to ``/mnt/data/<base name>``; one that was there is replaced and keeps its id.

        When ``chunks`` raises, nothing was changed and its error comes out unchanged. Raises ``InvalidRequestError``
        (the name, or too many files), ``PayloadTooLargeError``, ``StorageFullError``.
        """
        raise NotImplementedError

    async def put_file(self, project_id: ProjectId, container_id: str, file_id: str) -> ContainerFile:
        """Copy a file of ``/v1/files`` in as ``/mnt/data/<filename>``.

        When another file is at that path already, it goes to ``/mnt/data/<file_id>-<filename>``. Raises
        ``NotFoundError`` with param ``id`` for an unknown file, ``StorageFullError``.
        """
        raise NotImplementedError

    async def list(self, project_id: ProjectId, container_id: str, query: PageQuery) -> Page[ContainerFile]:
        """Give one page of what is in ``/mnt/data`` now. Raises ``InvalidRequestError`` (limit, ``after``)."""
        raise NotImplementedError

    async def retrieve(self, project_id: ProjectId, container_id: str, file_id: str) -> ContainerFile:
        """Give one file as it is now."""
        raise NotImplementedError

    async def delete(self, project_id: ProjectId, container_id: str, file_id: str) -> None:
        """Remove one file."""
        raise NotImplementedError

    async def open(
        self, project_id: ProjectId, container_id: str, file_id: str, byte_range: ByteRange | None = None
    ) -> FileContent:
        """Start reading a file. A range that lies outside of the file gives ``length`` 0."""
        raise NotImplementedError
