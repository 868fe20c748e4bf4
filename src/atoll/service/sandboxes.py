"""Sandboxes behind containers: made, woken, replaced when they are gone, and removed.

The order of writes that makes ``kill -9`` harmless at any moment:

- A sandbox is there before its row names it, and the row stops naming it before it is removed. What a server that
  died in between leaves behind is a sandbox without a row, which ``atoll.reconcile.orphans`` removes.
- A sandbox that is still to be named counts as *unsettled*; the orphan reconciler waits for those.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

from atoll import about
from atoll.agent.client import AgentClient
from atoll.agent.patience import Patience
from atoll.cancellation import finish
from atoll.model.containers import Container, ContainerStatus
from atoll.model.errors import ContainerExpiredError, InvalidRequestError, SandboxFailedError
from atoll.model.ids import ContainerId, SandboxId
from atoll.model.memory_limit import MemoryLimit
from atoll.model.network_policy import NETWORK_DISABLED, NetworkPolicy
from atoll.model.runtime_metrics import RuntimeMetrics
from atoll.runtime.contract import (
    Measured,
    Measurement,
    Runtime,
    RuntimeFailure,
    RuntimeUnavailableError,
    Sandbox,
    SandboxNotFoundError,
    SandboxNotRunningError,
    SandboxSpec,
    Stream,
    Usage,
)
from atoll.service.access import no_container
from atoll.service.failures import translate, translated
from atoll.service.kept_streams import KeptStreams
from atoll.service.limits import ServiceLimits
from atoll.service.signals import Signals
from atoll.service.tally import MemoryShortage, Tally
from atoll.store import containers
from atoll.store.database import Database

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
# Gone, made anew, and stopped again by its own code in the meantime: more is a machine in trouble.
_DIALS_MAX = 4


class Sandboxes:
    """All that the services do with a runtime. Raises ``atoll.model.errors`` only."""

    def __init__(
        self,
        runtime: Runtime,
        database: Database,
        limits: ServiceLimits,
        signals: Signals,
        on_gone: Callable[[SandboxId], None] = lambda _: None,
    ) -> None:
        """``on_gone`` is told of each sandbox that no row names any more."""
        self._runtime = runtime
        self._database = database
        self._limits = limits
        self._signals = signals
        self._on_gone = on_gone
        self._unsettled: set[asyncio.Event] = set()
        self._flights: dict[SandboxId, asyncio.Task[SandboxId]] = {}
        self._kept = KeptStreams()
        self._tallies: dict[SandboxId, Tally] = {}
        self._patience = Patience(
            answer_s=limits.agent_timeout_s,
            idle_s=limits.agent_timeout_s,
            call_grace_s=limits.call_grace_ms / 1000,
        )

    @asynccontextmanager
    async def made(
        self, memory_limit: MemoryLimit, network: NetworkPolicy = NETWORK_DISABLED
    ) -> AsyncIterator[SandboxId]:
        """Give a new sandbox, which is removed again unless the body, which names it in a row, ends well.

        Raises ``InvalidRequestError`` (param ``memory_limit``), ``BusyError``, ``SandboxFailedError``.
        """
        spec = self._spec(memory_limit)
        with self._unsettled_while():
            sandbox = await self._create(spec, network)
            try:
                yield sandbox.id
            except BaseException:
                await finish(self.discard(sandbox.id))
                raise

    def agent_in(self, sandbox_id: SandboxId) -> AgentClient:
        """Give the agent of a sandbox that has no row yet."""

        async def dial() -> Stream:
            return await self._dial(sandbox_id)

        return AgentClient(dial, patience=self._patience)

    def agent_of(self, container: Container) -> AgentClient:
        """Give the agent of a container; its methods wake the sandbox, or make a new one, when there is need.

        They raise ``AgentError`` and ``RuntimeFailure`` (see ``failures.translated``), ``BusyError``,
        ``NotFoundError`` and ``ContainerExpiredError``.
        """
        return AgentClient(_Door(self, container).dial, patience=self._patience)

    def running_agent_of(self, container: Container) -> AgentClient:
        """Give the agent of a container without waking it: dialling raises ``RuntimeFailure`` when it sleeps."""
        if container.sandbox_id is None:
            raise ContainerExpiredError
        return self.agent_in(container.sandbox_id)

    @asynccontextmanager
    async def reached(self, container: Container) -> AsyncIterator[tuple[SandboxId, AgentClient]]:
        """Wake a container's sandbox now, and give it (which may be another one than before) and its agent, on a
        connection that is open already.
        """
        door = _Door(self, container)
        stream = await self._kept.take(door.sandbox_id)
        if stream is None:
            with translated():
                stream = await door.dial()
        await self._begin_tally(door.sandbox_id)
        ready = [stream]

        async def dial() -> Stream:
            return ready.pop() if ready else await door.dial()

        async def keep(stream: Stream) -> None:
            await self._kept.put(door.sandbox_id, stream)

        try:
            yield door.sandbox_id, AgentClient(dial, keep=keep, patience=self._patience)
        finally:
            for unused in ready:
                await finish(unused.aclose())

    async def measure_runtime(self) -> RuntimeMetrics | None:
        """Give what the runtime counts; ``None`` when it counts nothing or cannot be asked now."""
        if not isinstance(self._runtime, Measured):
            return None
        try:
            async with _within(self._limits.agent_timeout_s):
                return await self._runtime.metrics()
        except RuntimeFailure as error:
            _LOG.info("the runtime does not say what it counts: %s", error)
            return None

    async def measurement(self, container: Container) -> Measurement:
        """Give what a container holds: nothing while its sandbox does not run. Raises ``SandboxFailedError``."""
        with translated():
            if container.sandbox_id is not None:
                with suppress(SandboxNotRunningError, SandboxNotFoundError):
                    async with _within(self._limits.agent_timeout_s):
                        return await self._runtime.measurement(container.sandbox_id)
            has_limits = self._runtime.capabilities.limits
            spec = self._spec(container.memory_limit)
        return Measurement(
            memory_bytes=0,
            memory_bytes_max=spec.memory_bytes if has_limits else None,
            cpu_s=0.0,
            cpus=spec.cpus if has_limits else None,
            pids=0,
            pids_max=spec.pids_max if has_limits else None,
            disk_bytes=None,
            disk_bytes_max=spec.disk_bytes if has_limits else None,
        )

    async def memory_killed(self, container: Container) -> MemoryShortage | None:
        """Tell whether want of memory ended a process since this was last asked, or since the last call began."""
        measured = await self._measured(container)
        return None if measured is None else measured[0].memory_killed(measured[1])

    def may_be_full(self, container: Container, pids_taken: int) -> bool:
        """Tell, without asking anybody, whether the limit of processes may have been met since the last look."""
        tally = None if container.sandbox_id is None else self._tallies.get(container.sandbox_id)
        return tally is None or tally.may_be_full(pids_taken)

    async def found_full(self, container: Container, pids_taken: int) -> Usage | None:
        """Give what a sandbox holds if its limit of processes kept one from starting since the last look."""
        measured = await self._measured(container)
        return measured[1] if measured is not None and measured[0].was_full(measured[1], pids_taken) else None

    @property
    def holds_allowlists(self) -> bool:
        """Whether the runtime can hold to a network policy of that type."""
        with translated():
            return self._runtime.capabilities.allowlists

    async def set_network(self, sandbox_id: SandboxId, network: NetworkPolicy) -> None:
        """Let a sandbox reach something else from now on; one that does not run gets it when it is started.

        Raises ``SandboxFailedError``, ``InvalidRequestError``.
        """
        with translated():
            try:
                async with _within(self._limits.agent_timeout_s):
                    await self._runtime.set_network(sandbox_id, network)
            except (SandboxNotRunningError, SandboxNotFoundError):
                return

    async def stop(self, container: Container) -> None:
        """End every process of a container's sandbox and keep its files; what fails is logged."""
        sandbox_id = await self._named(container)
        if sandbox_id is None:
            return
        try:
            async with _within(self._limits.cleanup_timeout_s):
                await self._runtime.stop(sandbox_id)
        except RuntimeFailure as error:
            _LOG.error("sandbox %s could not be stopped: %s", sandbox_id, error)

    async def discard(self, sandbox_id: SandboxId) -> None:
        """Remove a sandbox that no row names (any more). What fails is left to the orphan reconciler."""
        self._forget(sandbox_id)
        try:
            async with _within(self._limits.cleanup_timeout_s):
                await self._runtime.destroy(sandbox_id)
        except RuntimeFailure as error:
            _LOG.warning("sandbox %s is still to be removed: %s", sandbox_id, error)
            self._signals.orphans.set()
        finally:
            await self._kept.drop(sandbox_id)

    async def observe(self) -> set[SandboxId]:
        """Give every sandbox there is, once each that was being made meanwhile has its row or is removed."""
        with translated():
            async with _within(self._limits.cleanup_timeout_s):
                found = {sandbox.id for sandbox in await self._runtime.observe()}
            async with _within(self._limits.sandbox_start_timeout_s):
                for settled in tuple(self._unsettled):
                    await settled.wait()
        return found

    async def aclose(self) -> None:
        """End what is being woken, and hang up."""
        flights = tuple(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        await self._kept.aclose()

    async def dial(self, container: Container, sandbox_id: SandboxId) -> tuple[SandboxId, Stream]:
        """Connect to a container's agent by way of the sandbox last known; gives the sandbox that it was.

        Wakes it or makes a new one when there is need. Raises ``RuntimeFailure`` and what those two raise.
        """
        for _ in range(_DIALS_MAX - 1):
            try:
                return sandbox_id, await self._dial(sandbox_id)
            except SandboxNotRunningError:
                sandbox_id = await self._single_flight(sandbox_id, partial(self._start, container, sandbox_id))
            except SandboxNotFoundError:
                sandbox_id = await self._single_flight(sandbox_id, partial(self._replace, container, sandbox_id))
        return sandbox_id, await self._dial(sandbox_id)

    def _spec(self, memory_limit: MemoryLimit) -> SandboxSpec:
        with translated():
            most = self._runtime.capabilities.memory_bytes_max
        if memory_limit.size_bytes > most:
            raise InvalidRequestError(
                f"Invalid 'memory_limit': '{memory_limit}' is more than this machine can give a container; "
                f"it has {most / 2**30:.1f}g.",
                param="memory_limit",
            )
        return SandboxSpec(
            memory_bytes=memory_limit.size_bytes,
            disk_bytes=self._limits.disk_bytes,
            pids_max=self._limits.pids_max,
            cpus=self._limits.cpus,
        )

    @contextmanager
    def _unsettled_while(self) -> Iterator[None]:
        settled = asyncio.Event()
        self._unsettled.add(settled)
        try:
            yield
        finally:
            self._unsettled.discard(settled)
            settled.set()

    async def _create(self, spec: SandboxSpec, network: NetworkPolicy) -> Sandbox:
        try:
            with translated(), about.spanned("sandbox.create") as span:
                async with _within(self._limits.sandbox_start_timeout_s):
                    sandbox = await self._runtime.create(spec, network)
                span.set("atoll.sandbox.id", sandbox.id)
        except SandboxFailedError:
            self._signals.orphans.set()  # it may have been made all the same
            raise
        self._tallies[sandbox.id] = Tally.of_a_new_one(self._limits.pids_max)
        return sandbox

    async def _dial(self, sandbox_id: SandboxId) -> Stream:
        async with _within(self._limits.agent_timeout_s):
            return await self._runtime.dial(sandbox_id)

    async def _single_flight(
        self, sandbox_id: SandboxId, work: Callable[[], Coroutine[Any, Any, SandboxId]]
    ) -> SandboxId:
        """Do work once for all who ask meanwhile; it goes on when one of them is cancelled."""
        flight = self._flights.get(sandbox_id)
        if flight is None:
            flight = asyncio.create_task(work(), name=f"wake {sandbox_id}")
            self._flights[sandbox_id] = flight
            flight.add_done_callback(lambda done: self._landed(sandbox_id, done))
        return await asyncio.shield(flight)

    def _landed(self, sandbox_id: SandboxId, flight: asyncio.Task[SandboxId]) -> None:
        del self._flights[sandbox_id]
        if not flight.cancelled():
            flight.exception()  # retrieved: everyone who waited may be gone

    async def _start(self, container: Container, sandbox_id: SandboxId) -> SandboxId:
        network = (await self._usable_row(container)).network_policy
        try:
            with about.spanned("sandbox.start") as span:
                span.set("atoll.sandbox.id", sandbox_id)
                async with _within(self._limits.sandbox_start_timeout_s):
                    await self._runtime.start(sandbox_id, network)
            newest = (await self._usable_row(container)).network_policy
            if newest != network:  # changed meanwhile, when there was no sandbox yet to change it in
                async with _within(self._limits.agent_timeout_s):
                    await self._runtime.set_network(sandbox_id, newest)
        except SandboxNotFoundError:
            return sandbox_id  # the next dial finds the same, and then it is replaced
        except RuntimeFailure as error:
            raise translate(error) from error
        self._tallies[sandbox_id] = Tally.of_a_new_one(self._limits.pids_max)
        return sandbox_id

    async def _replace(self, container: Container, old: SandboxId) -> SandboxId:
        row = await self._usable_row(container)
        if row.sandbox_id is not None and row.sandbox_id != old:
            return row.sandbox_id
        _LOG.warning("sandbox %s of %s is gone with its files; making a new one", old, container.id)
        async with self.made(row.memory_limit, row.network_policy) as new:
            if not await self._name(container.id, old, new):
                await self._usable_row(container)
                raise SandboxFailedError("The container's sandbox was replaced by somebody else; try again.")
        _LOG.info("%s stands on %s now", container.id, new)
        self._forget(old)
        newest = (await self._usable_row(container)).network_policy
        if newest != row.network_policy:
            await self.set_network(new, newest)
        return new

    def _forget(self, sandbox_id: SandboxId) -> None:
        self._tallies.pop(sandbox_id, None)
        self._on_gone(sandbox_id)

    async def _name(self, container_id: ContainerId, old: SandboxId, new: SandboxId) -> bool:
        return await self._database.write(
            lambda connection: containers.replace_sandbox(connection, container_id, old, new)
        )

    async def _usable_row(self, container: Container) -> Container:
        row = await self._row(container)
        if row is None:
            raise no_container(container.id)
        if row.status is ContainerStatus.EXPIRED:
            raise ContainerExpiredError
        return row

    async def _named(self, container: Container) -> SandboxId | None:
        row = await self._row(container)
        return None if row is None else row.sandbox_id

    async def _row(self, container: Container) -> Container | None:
        return await self._database.read(
            lambda connection: containers.find(connection, container.project_id, container.id)
        )

    async def _begin_tally(self, sandbox_id: SandboxId) -> None:
        """Know what was before the first call of this server, which was not there to count it."""
        if sandbox_id not in self._tallies:
            usage = await self._usage(sandbox_id)
            if usage is not None:
                self._tallies[sandbox_id] = Tally.of_an_old_one(usage)

    async def _measured(self, container: Container) -> tuple[Tally, Usage] | None:
        """Give what a container's sandbox holds, with what was seen of it before; ``None`` when either is not known."""
        sandbox_id = await self._named(container)
        if sandbox_id is None or sandbox_id not in self._tallies:
            return None
        usage = await self._usage(sandbox_id)
        tally = self._tallies.get(sandbox_id)
        return None if usage is None or tally is None else (tally, usage)

    async def _usage(self, sandbox_id: SandboxId) -> Usage | None:
        try:
            async with _within(self._limits.agent_timeout_s):
                return await self._runtime.usage(sandbox_id)
        except RuntimeFailure as error:
            _LOG.info("what %s holds is not known: %s", sandbox_id, error)
            return None


@asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    """Bound what a runtime does; out of time, nothing is known about the outcome."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise RuntimeUnavailableError(f"no answer within {seconds:g} s") from error


class _Door:
    """A container's way to its agent; remembers the sandbox that it led to last."""

    def __init__(self, sandboxes: Sandboxes, container: Container) -> None:
        if container.sandbox_id is None:
            raise ContainerExpiredError
        self._sandboxes = sandboxes
        self._container = container
        self.sandbox_id = container.sandbox_id

    async def dial(self) -> Stream:
        self.sandbox_id, stream = await self._sandboxes.dial(self._container, self.sandbox_id)
        return stream
