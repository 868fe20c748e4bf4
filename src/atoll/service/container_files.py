"""Files in ``/mnt/data`` of a container, kept in step with what is really there."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

from atoll.agent.client import AgentClient
from atoll.agent.errors import AgentError, AgentRefusedError
from atoll.agent.files import AgentContent
from atoll.cancellation import finish
from atoll.model.containers import Container
from atoll.model.errors import NotFoundError
from atoll.model.files import ByteRange, ContainerFile, File, FileContent
from atoll.model.ids import ContainerFileId, ContainerId, ProjectId, is_id
from atoll.model.pages import Page, PageQuery
from atoll.runtime.contract import RuntimeFailure
from atoll.service.access import Access
from atoll.service.byte_counts import bounded
from atoll.service.checks import check_page
from atoll.service.contents import Contents
from atoll.service.events import Events
from atoll.service.failures import PathTakenError, translate
from atoll.service.file_names import base_name, path_of, prefixed_name
from atoll.service.files import Files
from atoll.service.held_chunks import HeldChunks
from atoll.service.limits import ServiceLimits
from atoll.service.sandboxes import Sandboxes
from atoll.store import container_files
from atoll.store.database import Database

_PAGE_LIMIT_MAX = 100


class ContainerFiles:
    """Use cases of ``/v1/containers/{id}/files``. Every one counts as use of the container.

    Each raises ``NotFoundError`` (container or file), ``ContainerExpiredError``, ``BusyError`` (no room to wake the
    sandbox) and ``SandboxFailedError``.
    """

    def __init__(
        self,
        *,
        database: Database,
        access: Access,
        sandboxes: Sandboxes,
        contents: Contents,
        files: Files,
        limits: ServiceLimits,
        events: Events,
    ) -> None:
        self._database = database
        self._access = access
        self._sandboxes = sandboxes
        self._contents = contents
        self._files = files
        self._limits = limits
        self._events = events

    async def put(
        self, project_id: ProjectId, container_id: str, filename: str, chunks: AsyncIterator[bytes]
    ) -> ContainerFile:
        """Write a file to ``/mnt/data/<base name>``; one that was there is replaced and keeps its id.

        When ``chunks`` raises, nothing was changed and its error comes out unchanged. Raises ``InvalidRequestError``
        (the name, or too many files), ``PayloadTooLargeError``, ``StorageFullError``.
        """
        path = path_of(base_name(filename))
        async with self._access.use(project_id, container_id) as container:
            await self._contents.require_room(container, path)
            wanted = bounded(chunks, self._limits.upload_bytes_max)
            return await self._write(container, path, wanted, exclusive=False)

    async def put_file(self, project_id: ProjectId, container_id: str, file_id: str) -> ContainerFile:
        """Copy a file of ``/v1/files`` in as ``/mnt/data/<filename>``.

        When a file is at that path already, it goes to ``/mnt/data/<file_id>-<filename>``, so that nothing is lost;
        there it replaces only what came from the same file. Raises ``NotFoundError`` with param ``id`` for an
        unknown file, ``StorageFullError``.
        """
        async with self._access.use(project_id, container_id) as container:
            file = await self._files.retrieve(project_id, file_id)
            path = path_of(file.filename)
            await self._contents.require_room(container, path)
            try:
                return await self._copy(container, path, file, exclusive=True)
            except PathTakenError:
                path = path_of(prefixed_name(file.id, file.filename))
            await self._contents.require_room(container, path)
            return await self._copy(container, path, file, exclusive=False)

    async def list(self, project_id: ProjectId, container_id: str, query: PageQuery) -> Page[ContainerFile]:
        """Give one page of what is in ``/mnt/data`` now. Raises ``InvalidRequestError`` (limit, ``after``)."""
        check_page(query, "cfile_", _PAGE_LIMIT_MAX)
        async with self._access.use(project_id, container_id) as container:
            await self._sync(container)
            return await self._database.read(lambda connection: container_files.page(connection, container.id, query))

    async def retrieve(self, project_id: ProjectId, container_id: str, file_id: str) -> ContainerFile:
        """Give one file as it is now."""
        async with self._access.use(project_id, container_id) as container:
            await self._sync(container)
            return await self._find(container, file_id)

    async def delete(self, project_id: ProjectId, container_id: str, file_id: str) -> None:
        """Remove one file."""
        async with self._access.use(project_id, container_id) as container:
            file = await self._find(container, file_id)
            async with self._reaching(container) as agent:
                await finish(self._contents.remove(file, agent))

    async def open(
        self, project_id: ProjectId, container_id: str, file_id: str, byte_range: ByteRange | None = None
    ) -> FileContent:
        """Start reading a file. A range that lies outside of the file gives ``length`` 0."""
        async with AsyncExitStack() as held:
            container = await held.enter_async_context(self._access.use(project_id, container_id))
            file = await self._find(container, file_id)
            async with self._reaching(container) as agent:
                try:
                    content, offset, length = await _open(agent, file.path, byte_range)
                except AgentRefusedError as error:
                    if error.code not in {"not_found", "not_regular"}:
                        raise
                    await self._contents.sync(container, agent)
                    raise _no_file(container.id, file_id) from error
            held.push_async_callback(content.chunks.aclose)
            return FileContent(
                filename=file.path.rpartition("/")[2],
                total=content.size,
                offset=offset,
                length=length,
                chunks=HeldChunks(content.chunks, held.pop_all()),
            )

    async def _write(
        self, container: Container, path: str, chunks: AsyncIterator[bytes], *, exclusive: bool
    ) -> ContainerFile:
        async with self._reaching(container) as agent:
            written = await agent.put_file(path, chunks, exclusive)
        # The file is there now: whoever waits for it may go away, its row is written all the same.
        return await finish(self._contents.note_upload(container, written))

    async def _copy(self, container: Container, path: str, file: File, *, exclusive: bool) -> ContainerFile:
        content = await self._files.open_whole(file)
        async with aclosing(content):
            return await self._write(container, path, content, exclusive=exclusive)

    async def _sync(self, container: Container) -> None:
        async with self._reaching(container) as agent:
            await self._contents.sync(container, agent)

    async def _find(self, container: Container, file_id: str) -> ContainerFile:
        if not is_id("cfile_", file_id):
            raise _no_file(container.id, file_id)
        known = ContainerFileId(file_id)
        file = await self._database.read(lambda connection: container_files.find(connection, container.id, known))
        if file is None:
            raise _no_file(container.id, file_id)
        return file

    @asynccontextmanager
    async def _reaching(self, container: Container) -> AsyncIterator[AgentClient]:
        """Give the agent; what it fails with is told as ours, or as the container's end when that was the cause."""
        try:
            yield self._sandboxes.agent_of(container)
        except (RuntimeFailure, AgentError) as error:
            await self._access.find(container.project_id, container.id)
            self._events.tell_refusal(container.id, error)
            raise translate(error) from error


async def _open(agent: AgentClient, path: str, byte_range: ByteRange | None) -> tuple[AgentContent, int, int]:
    """Start reading what a range asks for; gives offset and length too, which follow from the size when opened."""
    offset, asked = await _first_byte(agent, path, byte_range)
    content = await agent.get_file(path, offset, asked)
    left = max(0, content.size - offset)
    length = left if asked is None else min(left, asked)
    return content, offset if length else 0, length


async def _first_byte(agent: AgentClient, path: str, byte_range: ByteRange | None) -> tuple[int, int | None]:
    if byte_range is None:
        return 0, None
    if byte_range.first is not None:
        first, last = byte_range.first, byte_range.last
        return first, None if last is None else max(0, last - first + 1)
    # Counted from the end, which is only known once the file was opened.
    content = await agent.get_file(path, 0, 0)
    await content.chunks.aclose()
    return byte_range.resolve(content.size) or (0, 0)


def _no_file(container_id: ContainerId, file_id: str) -> NotFoundError:
    return NotFoundError(f"File {file_id} not found on container {container_id}.")
