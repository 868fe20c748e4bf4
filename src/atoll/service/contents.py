"""Rows of a container's files, kept in step with what is really in ``/mnt/data``.

Every look at the files and every note of one happens under the container's own lock: a listing that is older than
an upload could otherwise drop the upload's row, or bring back the row of a file deleted since.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from weakref import WeakValueDictionary

from atoll.agent.client import AgentClient
from atoll.agent.files import AgentFile, FileListing
from atoll.model.container_events import FileChange, FileChanged
from atoll.model.containers import Container
from atoll.model.errors import InvalidRequestError
from atoll.model.files import ContainerFile, FileSource
from atoll.model.ids import ContainerFileId, ContainerId, IdGenerator, created_at
from atoll.service.access import no_container
from atoll.service.events import Events
from atoll.service.file_changes import FileChanges, compare, rewritten
from atoll.service.limits import ServiceLimits
from atoll.store import container_files, containers
from atoll.store.connection import Connection
from atoll.store.database import Database


class Contents:
    """Writes rows of files, and tells what changed; knows nothing of bytes."""

    def __init__(self, database: Database, ids: IdGenerator, limits: ServiceLimits, events: Events) -> None:
        self._database = database
        self._ids = ids
        self._limits = limits
        self._events = events
        self._locks: WeakValueDictionary[ContainerId, asyncio.Lock] = WeakValueDictionary()

    async def sync(
        self,
        container: Container,
        agent: AgentClient,
        *,
        source: FileSource = "assistant",
        since: FileListing | None = None,
    ) -> FileListing:
        """Ask the agent for all files, make the rows tell the same, and give what was found. Ids of files still there
        stay.

        ``source`` is that of the files that appeared. Of files that were in the listing ``since`` it is also told when
        they were written anew and are as large as before.
        """
        rows_max = self._limits.files_per_container_max
        async with self._lock(container.id):
            listing = await agent.list_files(rows_max)
            rows = await self._database.scan(lambda connection: container_files.all_of(connection, container.id))
            changes = compare(rows, listing, rows_max)
            await self._apply(container.id, changes, source)
            if since is not None:
                changes = replace(changes, resized=changes.resized + rewritten(rows, since, listing))
            self._tell(container.id, changes, rows, source)
        return listing

    async def note(self, container: Container, found: Sequence[AgentFile]) -> tuple[ContainerFile, ...]:
        """Note files that code made or changed, and give their rows; those over the limit have none.

        A container that is gone has none either.
        """
        if not found:
            return ()
        listing = FileListing(tuple(found), complete=False)
        sizes = {file.path: file.size for file in found}
        async with self._lock(container.id):
            count = await self._database.read(lambda connection: container_files.count(connection, container.id))
            rows = await self._at_paths(container, found)
            room = self._limits.files_per_container_max - (count - len(rows))
            changes = compare(rows, listing, room)
            await self._apply(container.id, changes)
            # All of them were written to, also those that are as large as before.
            written = tuple((row.id, sizes[row.path]) for row in rows)
            self._tell(container.id, replace(changes, resized=written), rows, "assistant")
            return tuple(sorted(await self._at_paths(container, found), key=lambda row: row.id))

    async def note_upload(self, container: Container, file: AgentFile) -> ContainerFile:
        """Note a file that was put in and give its row. Raises ``NotFoundError`` when the container is gone."""
        row = self.new_row(container.id, file, "user")

        async def work(connection: Connection) -> ContainerFile:
            if not await containers.hold_running(connection, container.id):
                raise no_container(container.id)
            return await container_files.put(connection, row)

        async with self._lock(container.id):
            kept = await self._database.write(work)
        change: FileChange = "created" if kept.id == row.id else "modified"
        self._events.tell(container.id, FileChanged(kept.path, change, kept.bytes, "user"))
        return kept

    async def remove(self, file: ContainerFile, agent: AgentClient) -> None:
        """Remove a file and its row; a file that is gone already loses its row all the same."""
        async with self._lock(file.container_id):
            await agent.delete_file(file.path)
            await self._database.write(lambda connection: container_files.remove(connection, [file.id]))
        self._events.tell(file.container_id, FileChanged(file.path, "deleted", None, "user"))

    async def require_room(self, container: Container, path: str) -> None:
        """Raise ``InvalidRequestError`` when a file at ``path`` would be one too many."""
        files_max = self._limits.files_per_container_max
        count = await self._database.read(lambda connection: container_files.count(connection, container.id))
        if count < files_max:
            return
        known = await self._database.read(lambda connection: container_files.find_path(connection, container.id, path))
        if known is None:
            raise InvalidRequestError(
                f"The container has {count} files, and no more than {files_max} are possible; delete some first."
            )

    def new_row(self, container_id: ContainerId, file: AgentFile, source: FileSource) -> ContainerFile:
        """Give a row with an id of its own for a file that was found or put in."""
        file_id = ContainerFileId(self._ids.new("cfile_"))
        return ContainerFile(
            id=file_id,
            container_id=container_id,
            path=file.path,
            bytes=file.size,
            created_at=created_at("cfile_", file_id),
            source=source,
        )

    async def _at_paths(self, container: Container, found: Sequence[AgentFile]) -> tuple[ContainerFile, ...]:
        paths = [file.path for file in found]
        return await self._database.scan(lambda connection: container_files.at_paths(connection, container.id, paths))

    async def _apply(self, container_id: ContainerId, changes: FileChanges, source: FileSource = "assistant") -> None:
        if not changes:
            return
        appeared = [self.new_row(container_id, file, source) for file in changes.appeared]

        async def work(connection: Connection) -> None:
            if await containers.hold_running(connection, container_id):
                await container_files.remove(connection, changes.vanished)
                await container_files.resize(connection, changes.resized)
                await container_files.add(connection, appeared)

        await self._database.write(work)

    def _tell(
        self, container_id: ContainerId, changes: FileChanges, rows: Sequence[ContainerFile], source: FileSource
    ) -> None:
        if not changes:
            return
        paths = {row.id: row.path for row in rows}
        for file in changes.appeared:
            self._events.tell(container_id, FileChanged(file.path, "created", file.size, source))
        for file_id, size in changes.resized:
            self._events.tell(container_id, FileChanged(paths[file_id], "modified", size, source))
        for file_id in changes.vanished:
            self._events.tell(container_id, FileChanged(paths[file_id], "deleted", None, source))

    def _lock(self, container_id: ContainerId) -> asyncio.Lock:
        lock = self._locks.get(container_id)
        if lock is None:
            lock = self._locks[container_id] = asyncio.Lock()
        return lock
