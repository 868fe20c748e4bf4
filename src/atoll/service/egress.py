"""What was let out of containers and what was not: heard from the egress process, kept, listed, told in calls."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from typing import Final, Protocol

from atoll.model.container_events import NetworkRefused
from atoll.model.container_stats import Traffic
from atoll.model.containers import Container
from atoll.model.egress_decision import EgressCounts, EgressDecision, EgressReason, EgressRecord
from atoll.model.ids import ContainerId, EgressId, IdGenerator, ProjectId, SandboxId
from atoll.model.pages import Page, PageQuery
from atoll.service.access import Access
from atoll.service.checks import check_page
from atoll.service.events import Events
from atoll.service.limits import ServiceLimits
from atoll.store import containers, egress_decisions
from atoll.store.connection import Connection
from atoll.store.database import Database

_LOG = logging.getLogger(__name__)

_PAGE_LIMIT_MAX: Final = 100
_UNWRITTEN_MAX: Final = 10_000
_BATCH_MAX: Final = 500
_FAILURE_PAUSE_S: Final = 1.0
# Decisions come one by one; written so, each would cost a transaction while connections want the CPU.
_GATHERING_S: Final = 0.1
_LAST_WRITE_S_MAX: Final = 2.0
# A call tells the first few by name and counts the others.
_REFUSALS_MAX: Final = 1_000


class Feed(Protocol):
    """Where decisions come from."""

    async def run(self, on_decision: Callable[[EgressDecision], None]) -> None:
        """Hear until cancelled."""
        ...

    async def settle(self) -> None:
        """Return once everything that was decided before now was heard, or nobody is there to tell."""
        ...

    async def counts(self) -> EgressCounts | None:
        """Give what is counted; ``None`` when nobody is there to tell."""
        ...

    async def traffic(self, sandbox_id: SandboxId) -> Traffic | None:
        """Give what went through for a sandbox; ``None`` when nothing may, or nobody is there to tell."""
        ...


class Refusals:
    """What was refused to one sandbox since a moment, each target and reason once, in order, the first of them."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, EgressReason], None] = {}

    def add(self, decision: EgressDecision) -> None:
        """Note one."""
        if len(self._seen) < _REFUSALS_MAX:
            self._seen[decision.name, decision.reason] = None

    def take(self) -> list[tuple[str, EgressReason]]:
        """Give them, and begin anew."""
        seen, self._seen = self._seen, {}
        return list(seen)


class Egress:
    """Use cases of ``/v1/containers/{id}/egress``, and what calls ask. Without a ``feed`` nothing is ever let out."""

    def __init__(
        self,
        *,
        database: Database,
        ids: IdGenerator,
        access: Access,
        limits: ServiceLimits,
        events: Events,
        feed: Feed | None,
    ) -> None:
        self._database = database
        self._ids = ids
        self._access = access
        self._limits = limits
        self._events = events
        self._feed = feed
        self._watched: dict[str, list[Refusals]] = {}
        self._unwritten: asyncio.Queue[EgressDecision] = asyncio.Queue(_UNWRITTEN_MAX)
        self._taken_in = 0
        self._written = 0
        self._has_written = asyncio.Condition()

    async def list(self, project_id: ProjectId, container_id: str, query: PageQuery) -> Page[EgressRecord]:
        """Give one page of a container's decisions, expired ones' too. Raises ``NotFoundError`` and for the page."""
        check_page(query, "egr_", _PAGE_LIMIT_MAX)
        container = await self._access.find(project_id, container_id)
        await self._settle()
        await self._written_until(self._taken_in)
        return await self._database.read(lambda connection: egress_decisions.page(connection, container.id, query))

    async def counts(self) -> EgressCounts | None:
        """Give what the egress process counts."""
        return None if self._feed is None else await self._feed.counts()

    async def traffic(self, container: Container) -> Traffic | None:
        """Give what went through for a container since its sandbox started; ``None`` when nothing may, or that is not
        known now.
        """
        if self._feed is None or container.network_policy.type == "disabled" or container.sandbox_id is None:
            return None
        return await self._feed.traffic(container.sandbox_id)

    def watching(self, container: Container) -> AbstractContextManager[Refusals | None]:
        """Gather what is refused to a container's sandbox while the body runs; ``None`` where nothing is let out.

        Whose connection of a sandbox it was cannot be known: what runs side by side there is told the same.
        """
        if container.network_policy.type == "disabled" or container.sandbox_id is None:
            return nullcontext()
        return self._watching(container.sandbox_id)

    async def refused(self, refusals: Refusals | None) -> Sequence[tuple[str, EgressReason]]:
        """Give what was gathered since this was last asked, by name and reason, up to what was decided just now."""
        if refusals is None:
            return []
        await self._settle()
        return refusals.take()

    @contextmanager
    def _watching(self, sandbox_id: SandboxId) -> Iterator[Refusals]:
        refusals = Refusals()
        watches = self._watched.setdefault(sandbox_id, [])
        watches.append(refusals)
        try:
            yield refusals
        finally:
            watches.remove(refusals)
            if not watches:
                del self._watched[sandbox_id]

    @asynccontextmanager
    async def hearing(self) -> AsyncIterator[None]:
        """Hear and keep decisions while the body runs."""
        if self._feed is None:
            yield
            return
        hearing = asyncio.create_task(self._feed.run(self._heard), name="hear decisions")
        writing = asyncio.create_task(self._write(), name="keep decisions")
        try:
            yield
        finally:
            await _end(hearing)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WRITE_S_MAX):
                    await self._written_until(self._taken_in)
            await _end(writing)

    async def _written_until(self, count: int) -> None:
        """Return once so many decisions were written, whatever has come since: others' may never stop to."""
        async with self._has_written:
            await self._has_written.wait_for(lambda: self._written >= count)

    async def _settle(self) -> None:
        if self._feed is not None:
            await self._feed.settle()

    def _heard(self, decision: EgressDecision) -> None:
        if decision.reason is not EgressReason.ALLOWED:
            for refusals in self._watched.get(decision.sandbox_id, ()):
                refusals.add(decision)
        try:
            self._unwritten.put_nowait(decision)
            self._taken_in += 1
        except asyncio.QueueFull:
            _LOG.warning("a decision about %s is in the egress process's log only", decision.sandbox_id)

    async def _write(self) -> None:
        while True:
            batch = [await self._unwritten.get()]
            await asyncio.sleep(_GATHERING_S)
            while len(batch) < _BATCH_MAX and not self._unwritten.empty():
                batch.append(self._unwritten.get_nowait())
            try:
                await self._keep(batch)
            except Exception:  # noqa: BLE001 - whatever it is, later decisions are still to be kept
                _LOG.exception("%d decisions are in the egress process's log only", len(batch))
                await asyncio.sleep(_FAILURE_PAUSE_S)
            finally:
                async with self._has_written:
                    self._written += len(batch)
                    self._has_written.notify_all()

    async def _keep(self, batch: Sequence[EgressDecision]) -> None:
        sandboxes = {SandboxId(decision.sandbox_id) for decision in batch}
        owners = await self._database.read(lambda connection: containers.behind(connection, sandboxes))
        records = [
            self._record(owners[sandbox_id].id, decision)
            for decision in batch
            if (sandbox_id := SandboxId(decision.sandbox_id)) in owners
        ]

        for record in records:
            if record.reason is not EgressReason.ALLOWED:
                self._events.tell(record.container_id, NetworkRefused(record.name, record.port, record.reason.value))

        async def work(connection: Connection) -> None:
            await egress_decisions.add(connection, records)
            for container_id in {record.container_id for record in records}:
                await egress_decisions.keep_newest(connection, container_id, self._limits.egress_decisions_max)

        if records:
            await self._database.write(work)

    def _record(self, container_id: ContainerId, decision: EgressDecision) -> EgressRecord:
        return EgressRecord(
            id=EgressId(self._ids.new("egr_")),
            container_id=container_id,
            at_ms=int(decision.at * 1000),
            name=decision.name,
            port=decision.port,
            reason=decision.reason,
            bytes_sent=decision.bytes_sent,
            bytes_received=decision.bytes_received,
        )


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
