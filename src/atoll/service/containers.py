"""The life of a container: made, listed, looked at, deleted.

A container is made in this order, and an answer is given only at the end of it: sandbox, files into the sandbox, row.
Whatever fails or is cancelled in between takes everything before it back, so nothing half-made is ever listed.
"""

import asyncio
import dataclasses
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from weakref import WeakValueDictionary

from atoll import about
from atoll.agent.client import AgentClient
from atoll.agent.files import AgentFile
from atoll.cancellation import finish
from atoll.model.container_events import ContainerCreated, ContainerDeleted, ContainerUpdated
from atoll.model.containers import Container, ContainerChange, ContainerStatus, NewContainer
from atoll.model.errors import BusyError
from atoll.model.files import File
from atoll.model.ids import ContainerId, IdGenerator, ProjectId, SandboxId, created_at
from atoll.model.network_policy import NetworkPolicy
from atoll.model.pages import Page, PageQuery
from atoll.model.runtime_metrics import RuntimeMetrics
from atoll.service.access import Access, no_container
from atoll.service.activity import Activity
from atoll.service.checks import check_count, check_integer, check_page, check_text
from atoll.service.contents import Contents
from atoll.service.events import Events
from atoll.service.failures import translated
from atoll.service.file_names import place
from atoll.service.files import Files
from atoll.service.limits import ServiceLimits
from atoll.service.network_policies import check_policy
from atoll.service.sandboxes import Sandboxes
from atoll.service.secrets import Secrets
from atoll.store import container_files, containers
from atoll.store.connection import Connection
from atoll.store.database import Database

_LOG = logging.getLogger(__name__)
_PAGE_LIMIT_MAX = 100


class Containers:
    """Use cases of ``/v1/containers``."""

    def __init__(
        self,
        *,
        database: Database,
        ids: IdGenerator,
        activity: Activity,
        access: Access,
        sandboxes: Sandboxes,
        contents: Contents,
        files: Files,
        secrets: Secrets,
        limits: ServiceLimits,
        events: Events,
    ) -> None:
        self._database = database
        self._ids = ids
        self._activity = activity
        self._access = access
        self._sandboxes = sandboxes
        self._contents = contents
        self._files = files
        self._secrets = secrets
        self._limits = limits
        self._events = events
        self._locks: WeakValueDictionary[ContainerId, asyncio.Lock] = WeakValueDictionary()
        self._being_made: Counter[ProjectId] = Counter()

    async def create(self, project_id: ProjectId, new: NewContainer) -> Container:
        """Make a container with a sandbox behind it and the named files in it.

        Two files of ``file_ids`` with one name do not overwrite each other: the second goes to
        ``/mnt/data/<file_id>-<filename>``. Raises ``InvalidRequestError``, ``NotFoundError`` (a file id),
        ``BusyError`` (no room on the machine), ``StorageFullError``, ``SandboxFailedError``.
        """
        self._check(new)
        new = dataclasses.replace(
            new, network_policy=self._secrets.sealed(new.network_policy, new.domain_secrets), domain_secrets=()
        )
        files = [await self._files.retrieve(project_id, file_id) for file_id in dict.fromkeys(new.file_ids)]
        with self._counted(project_id):
            await self._require_room(project_id)
            async with self._sandboxes.made(new.memory_limit, new.network_policy) as sandbox_id:
                with translated():
                    brought = await self._bring_in(self._sandboxes.agent_in(sandbox_id), files)
                container = self._row(project_id, new, sandbox_id)
                about.note_container(container.id)
                await self._add(container, brought)
        _LOG.info("%s was made, on %s", container.id, sandbox_id)
        self._events.tell(container.id, ContainerCreated())
        return container

    async def list(self, project_id: ProjectId, query: PageQuery, name: str | None = None) -> Page[Container]:
        """Give one page; ``name`` filters exactly. Raises ``InvalidRequestError`` (limit, malformed ``after``)."""
        check_page(query, "cntr_", _PAGE_LIMIT_MAX)
        if name is not None:
            check_text("name", name)
        page = await self._database.read(lambda connection: containers.page(connection, project_id, query, name))
        return dataclasses.replace(page, items=tuple(self._activity.seen(row) for row in page.items))

    async def retrieve(self, project_id: ProjectId, container_id: str) -> Container:
        """Give a container, expired ones too; looking at a running one counts as use. Raises ``NotFoundError``."""
        return await self._access.look(project_id, container_id)

    async def change(self, project_id: ProjectId, container_id: str, wanted: ContainerChange) -> Container:
        """Change a running container. A network policy counts for the next connection, and connections that it does
        not allow have ended when this returns.

        Raises ``NotFoundError``, ``ContainerExpiredError``, ``InvalidRequestError``, ``SandboxFailedError`` (the
        container is as it was, except that it may already be let out by the new policy).
        """
        self._check_change(wanted)
        if wanted.network_policy is not None:
            sealed = self._secrets.sealed(wanted.network_policy, wanted.domain_secrets)
            wanted = dataclasses.replace(wanted, network_policy=sealed, domain_secrets=())
        async with self._access.use(project_id, container_id) as container, self._changing(container.id):
            # As it is now: what another change has made of it meanwhile is what a failure goes back to.
            newest = await self._access.find(project_id, container.id)
            if wanted.keeps_domain_secrets and wanted.network_policy is not None:
                policy = self._secrets.taken_over(newest.network_policy, wanted.network_policy)
                wanted = dataclasses.replace(wanted, network_policy=policy)
            return await finish(self._change(newest, wanted))

    async def _change(self, old: Container, wanted: ContainerChange) -> Container:
        changed = await self._database.write(lambda connection: containers.change(connection, old.id, wanted))
        if changed is None:
            raise no_container(old.id)
        if wanted.network_policy is not None and changed.sandbox_id is not None:
            # Written first: a sandbox that is started meanwhile is started by what is written.
            try:
                await self._sandboxes.set_network(changed.sandbox_id, wanted.network_policy)
            except BaseException:
                back = ContainerChange(
                    name=old.name,
                    expires_after_minutes=old.expires_after_minutes,
                    network_policy=old.network_policy,
                )
                await self._database.write(lambda connection: containers.change(connection, old.id, back))
                raise
        self._events.tell(changed.id, ContainerUpdated(_fields(wanted)))
        return self._activity.seen(changed)

    def _check_change(self, wanted: ContainerChange) -> None:
        if wanted.name is not None:
            check_text("name", wanted.name, chars_max=self._limits.name_chars_max)
        if wanted.expires_after_minutes is not None:
            most = self._limits.expires_after_minutes_max
            check_integer("expires_after.minutes", wanted.expires_after_minutes, 1, most)
        if wanted.network_policy is not None:
            self._check_network(wanted.network_policy)

    @asynccontextmanager
    async def _changing(self, container_id: ContainerId) -> AsyncIterator[None]:
        """Let one change of a container happen at a time, so that what is written is also what is in force."""
        lock = self._locks.setdefault(container_id, asyncio.Lock())
        async with lock:
            yield

    async def hold_policy(self, sandbox_id: SandboxId, container_id: ContainerId) -> None:
        """Let a sandbox out by what is written of its container. Raises ``SandboxFailedError``."""
        async with self._changing(container_id):
            rows = await self._database.read(lambda connection: containers.behind(connection, [sandbox_id]))
            if sandbox_id in rows:
                await self._sandboxes.set_network(sandbox_id, rows[sandbox_id].network_policy)

    async def delete(self, project_id: ProjectId, container_id: str) -> None:
        """Remove a container and all that is in it; its calls end. Raises ``NotFoundError``."""
        known = (await self._access.find(project_id, container_id)).id
        await finish(self._remove(project_id, known))

    async def count_running(self) -> int:
        """Count the running containers of all projects, for whoever watches the server."""
        return await self._database.scan(containers.count_all_running)

    async def measure_runtime(self) -> RuntimeMetrics | None:
        """Give what the runtime counts; ``None`` when it counts nothing or cannot be asked now."""
        return await self._sandboxes.measure_runtime()

    async def _remove(self, project_id: ProjectId, known: ContainerId) -> None:
        removed = await self._database.write(lambda connection: containers.remove(connection, project_id, known))
        if removed is None:
            raise no_container(known)
        self._activity.forget(known)
        self._events.end(known, ContainerDeleted())
        if removed.sandbox_id is not None:
            await self._sandboxes.discard(removed.sandbox_id)

    def _check(self, new: NewContainer) -> None:
        check_text("name", new.name, chars_max=self._limits.name_chars_max)
        check_count("file_ids", len(new.file_ids), self._limits.file_ids_max)
        if new.expires_after_minutes is not None:
            check_integer("expires_after.minutes", new.expires_after_minutes, 1, self._limits.expires_after_minutes_max)
        self._check_network(new.network_policy)

    def _check_network(self, policy: NetworkPolicy) -> None:
        if policy.type != "disabled":
            check_policy(policy, self._limits, is_enforced=self._sandboxes.holds_allowlists)

    @contextmanager
    def _counted(self, project_id: ProjectId) -> Iterator[None]:
        self._being_made[project_id] += 1
        try:
            yield
        finally:
            self._being_made[project_id] -= 1
            if not self._being_made[project_id]:
                del self._being_made[project_id]

    async def _require_room(self, project_id: ProjectId) -> None:
        most = self._limits.containers_per_project_max
        if most is None:
            return
        running = await self._database.read(lambda connection: containers.count_running(connection, project_id))
        if running + self._being_made[project_id] > most:
            raise BusyError(
                f"The project has {most} running containers, the most that it may have; delete one first.",
                retry_after_s=60,
                reason="project_containers",
            )

    async def _bring_in(self, agent: AgentClient, files: Sequence[File]) -> tuple[AgentFile, ...]:
        brought = []
        for path, file in place(files).items():
            async with aclosing(await self._files.open_whole(file)) as content:
                brought.append(await agent.put_file(path, content, exclusive=True))
        return tuple(brought)

    def _row(self, project_id: ProjectId, new: NewContainer, sandbox_id: SandboxId) -> Container:
        # The id is made last: whoever walks the list in creation order then misses nothing that was answered for.
        container_id = ContainerId(self._ids.new("cntr_"))
        second = created_at("cntr_", container_id)
        return Container(
            id=container_id,
            project_id=project_id,
            name=new.name,
            created_at=second,
            last_active_at=second,
            expires_after_minutes=new.expires_after_minutes or self._limits.expires_after_minutes_default,
            memory_limit=new.memory_limit,
            network_policy=new.network_policy,
            status=ContainerStatus.RUNNING,
            sandbox_id=sandbox_id,
        )

    async def _add(self, container: Container, brought: Sequence[AgentFile]) -> None:
        rows = [self._contents.new_row(container.id, file, "user") for file in brought]

        async def work(connection: Connection) -> None:
            await containers.add(connection, container)
            await container_files.add(connection, rows)

        try:
            await self._database.write(work)
        except BaseException:
            # The row may be there: whoever waited for it was cancelled.
            await finish(
                self._database.write(
                    lambda connection: containers.remove(connection, container.project_id, container.id)
                )
            )
            raise


def _fields(wanted: ContainerChange) -> tuple[str, ...]:
    """Name what is changed as the body does."""
    named = {
        "name": wanted.name,
        "expires_after": wanted.expires_after_minutes,
        "network_policy": wanted.network_policy,
    }
    return tuple(name for name, value in named.items() if value is not None)
