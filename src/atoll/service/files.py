"""Uploaded files of a project: rows in the store, bytes among the blobs."""

from collections.abc import AsyncIterator

from atoll.model.files import ByteRange, File, FileContent
from atoll.model.ids import ProjectId
from atoll.model.pages import Page, PageQuery


class Files:
    """Use cases of ``/v1/files``. An unknown or expired file is a ``NotFoundError`` with param ``id``."""

    async def create(
        self,
        project_id: ProjectId,
        filename: str,
        purpose: str,
        chunks: AsyncIterator[bytes],
        expires_after_s: int | None = None,
    ) -> File:
        """Keep a file. ``expires_after_s`` counts from its creation.

        When ``chunks`` raises, nothing is kept and its error comes out unchanged. Raises ``InvalidRequestError``,
        ``PayloadTooLargeError``, ``StorageFullError``.
        """
        raise NotImplementedError

    async def list(self, project_id: ProjectId, query: PageQuery, purpose: str | None = None) -> Page[File]:
        """Give one page. Raises ``InvalidRequestError`` (limit, malformed ``after``)."""
        raise NotImplementedError

    async def retrieve(self, project_id: ProjectId, file_id: str) -> File:
        """Give one file."""
        raise NotImplementedError

    async def delete(self, project_id: ProjectId, file_id: str) -> None:
        """Remove one file; copies in containers stay."""
        raise NotImplementedError

    async def open(self, project_id: ProjectId, file_id: str, byte_range: ByteRange | None = None) -> FileContent:
        """Start reading a file. A range that lies outside of the file gives ``length`` 0."""
        raise NotImplementedError
