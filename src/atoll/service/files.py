"""Uploaded files of a project: rows in the store, bytes among the blobs.

Bytes are there before their row and go after it, so a row always has its bytes, whenever a server is killed; bytes
without a row are removed by ``atoll.reconcile.blobs``.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack

from atoll.blobs.blobs import Blobs, BlobsFullError
from atoll.cancellation import finish
from atoll.model.errors import NotFoundError, StorageFullError
from atoll.model.files import ByteRange, ClosableChunks, File, FileContent, FileDescription
from atoll.model.ids import FileId, IdGenerator, ProjectId, created_at, is_id
from atoll.model.pages import Page, PageQuery
from atoll.service.activity import Activity
from atoll.service.byte_counts import bounded
from atoll.service.checks import check_integer, check_page
from atoll.service.file_names import base_name
from atoll.service.held_chunks import HeldChunks
from atoll.service.limits import ServiceLimits
from atoll.store import files
from atoll.store.database import Database

_PAGE_LIMIT_MAX = 10_000


class Files:
    """Use cases of ``/v1/files``. An unknown or expired file is a ``NotFoundError`` with param ``id``."""

    def __init__(
        self,
        *,
        database: Database,
        blobs: Blobs,
        ids: IdGenerator,
        activity: Activity,
        limits: ServiceLimits,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._ids = ids
        self._activity = activity
        self._limits = limits
        self._arriving: set[FileId] = set()

    @property
    def arriving(self) -> frozenset[FileId]:
        """Files whose bytes are being kept and whose row is still to come."""
        return frozenset(self._arriving)

    async def create(
        self,
        project_id: ProjectId,
        filename: str,
        chunks: AsyncIterator[bytes],
        describe: Callable[[], FileDescription],
    ) -> File:
        """Keep a file. ``describe`` is asked after the last byte: in a form the rest may follow the file.

        When ``chunks`` or ``describe`` raises, nothing is kept and its error comes out unchanged. Raises
        ``InvalidRequestError``, ``PayloadTooLargeError``, ``StorageFullError``.
        """
        name = base_name(filename)
        arriving = _Arriving(bounded(chunks, self._limits.upload_bytes_max), lambda: self._checked(describe()))
        file_id = FileId(self._ids.new("file-"))
        self._arriving.add(file_id)
        try:
            size = await self._keep(file_id, arriving.chunks())
            second = created_at("file-", file_id)
            expires_after_s = arriving.description.expires_after_s
            file = File(
                id=file_id,
                project_id=project_id,
                filename=name,
                purpose=arriving.description.purpose,
                bytes=size,
                created_at=second,
                expires_at=None if expires_after_s is None else second + expires_after_s,
            )
            await self._add(file)
        finally:
            self._arriving.discard(file_id)
        return file

    async def list(self, project_id: ProjectId, query: PageQuery, purpose: str | None = None) -> Page[File]:
        """Give one page. Raises ``InvalidRequestError`` (limit, malformed ``after``)."""
        check_page(query, "file-", _PAGE_LIMIT_MAX)
        now = self._activity.now()
        return await self._database.read(lambda connection: files.page(connection, project_id, query, purpose, now))

    async def retrieve(self, project_id: ProjectId, file_id: str) -> File:
        """Give one file."""
        if not is_id("file-", file_id):
            raise no_file_object(file_id)
        known, now = FileId(file_id), self._activity.now()
        file = await self._database.read(lambda connection: files.find(connection, project_id, known, now))
        if file is None:
            raise no_file_object(file_id)
        return file

    async def delete(self, project_id: ProjectId, file_id: str) -> None:
        """Remove one file; copies in containers stay."""
        file = await self.retrieve(project_id, file_id)
        now = self._activity.now()
        if not await self._database.write(lambda connection: files.remove(connection, project_id, file.id, now)):
            raise no_file_object(file_id)
        await finish(self._blobs.delete(file.id))

    async def open(self, project_id: ProjectId, file_id: str, byte_range: ByteRange | None = None) -> FileContent:
        """Start reading a file. A range that lies outside of the file gives ``length`` 0."""
        file = await self.retrieve(project_id, file_id)
        offset, length = (0, file.bytes) if byte_range is None else byte_range.resolve(file.bytes) or (0, 0)
        chunks = await self._read(file, offset, length)
        held = AsyncExitStack()
        held.push_async_callback(chunks.aclose)
        return FileContent(
            filename=file.filename,
            total=file.bytes,
            offset=offset,
            length=length,
            chunks=HeldChunks(chunks, held),
        )

    async def open_whole(self, file: File) -> ClosableChunks:
        """Start reading all of a file that was found. Raises ``NotFoundError`` when it was deleted since."""
        return await self._read(file, 0, file.bytes)

    def _checked(self, description: FileDescription) -> FileDescription:
        if description.expires_after_s is not None:
            low, high = self._limits.file_expires_after_s_min, self._limits.file_expires_after_s_max
            check_integer("expires_after.seconds", description.expires_after_s, low, high)
        return description

    async def _keep(self, file_id: FileId, chunks: AsyncIterator[bytes]) -> int:
        try:
            return await self._blobs.put(file_id, chunks)
        except BlobsFullError as error:
            raise StorageFullError("The server's disk is full; nothing was kept.") from error

    async def _add(self, file: File) -> None:
        try:
            await self._database.write(lambda connection: files.add(connection, file))
        except BaseException:
            await finish(self._undo(file))
            raise

    async def _undo(self, file: File) -> None:
        # The row may be there: whoever waited for it was cancelled. It goes first, so that it never lacks its bytes.
        await self._database.write(
            lambda connection: files.remove(connection, file.project_id, file.id, file.created_at)
        )
        await self._blobs.delete(file.id)

    async def _read(self, file: File, offset: int, length: int) -> ClosableChunks:
        if length == 0:
            return _no_bytes()
        try:
            return await self._blobs.open(file.id, offset, length)
        except FileNotFoundError as error:
            raise no_file_object(file.id) from error


class _Arriving:
    """Bytes of an upload on their way in, and what is said of them once the last one is here."""

    def __init__(self, chunks: AsyncIterator[bytes], describe: Callable[[], FileDescription]) -> None:
        self._chunks = chunks
        self._describe = describe

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Give the bytes; ends only when they are described, so that whoever keeps them can still undo it."""
        async for chunk in self._chunks:
            yield chunk
        self.description = self._describe()


def no_file_object(file_id: str) -> NotFoundError:
    """Give the error for an uploaded file that is not there."""
    return NotFoundError(f"No such File object: {file_id}", param="id")


async def _no_bytes() -> AsyncGenerator[bytes, None]:
    none: tuple[bytes, ...] = ()
    for chunk in none:
        yield chunk
