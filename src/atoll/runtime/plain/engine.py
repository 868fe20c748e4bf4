"""``PlainRuntime``: the contract, on folders and keepers."""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from atoll.model.ids import IdGenerator, SandboxId
from atoll.model.network_policy import NETWORK_DISABLED, NetworkPolicy
from atoll.runtime.contract import (
    Capabilities,
    Measurement,
    NetworkRefusedError,
    NoRoomError,
    RuntimeUnavailableError,
    Sandbox,
    SandboxNotFoundError,
    SandboxNotRunningError,
    SandboxSpec,
    SandboxState,
    SpecRefusedError,
    Stream,
    Usage,
)
from atoll.runtime.plain.folders import Folders, Record
from atoll.runtime.plain.measure import ProcessTree, measure_tree
from atoll.runtime.plain.process import KeeperProcess, dial, is_listening

SANDBOXES_RUNNING_MAX: Final = 100
_OLD_KEEPER_S: Final = 15.0
_PAUSE_S: Final = 0.01

T = TypeVar("T")


class PlainRuntime:
    """Sandboxes without walls or limits, in one folder; they end with the server, their files stay."""

    def __init__(
        self, folder: Path, *, clock: Callable[[], float] = time.time, running_max: int = SANDBOXES_RUNNING_MAX
    ) -> None:
        """Take a folder, made if need be. ``clock`` gives unix seconds.

        Raises ``RuntimeUnavailableError`` when another server has it, and ``OSError``.
        """
        self._folders = Folders(folder)
        self._clock = clock
        self._running_max = running_max
        self._ids = IdGenerator()
        self._keepers: dict[SandboxId, KeeperProcess] = {}
        self._locks: dict[SandboxId, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._memory_bytes_max = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    @property
    def capabilities(self) -> Capabilities:
        """No walls, no limits; nothing outlives the server but files."""
        return Capabilities(
            name="plain",
            walls=False,
            limits=False,
            survives_restart=False,
            allowlists=False,
            memory_bytes_max=self._memory_bytes_max,
        )

    async def create(self, spec: SandboxSpec, network: NetworkPolicy = NETWORK_DISABLED) -> Sandbox:
        """Make a folder and start an agent on it."""
        _check_network(network)
        if spec.memory_bytes > self._memory_bytes_max:
            raise SpecRefusedError(
                f"{spec.memory_bytes} bytes of memory were asked for; this machine has {self._memory_bytes_max}"
            )
        sandbox_id = SandboxId(self._ids.new("sbx_"))
        return await self._finish(self._create(sandbox_id, spec), undo=lambda: self._destroy(sandbox_id))

    async def start(self, sandbox_id: SandboxId, network: NetworkPolicy = NETWORK_DISABLED) -> Sandbox:
        """Start an agent on the folder of a stopped sandbox."""
        _check_network(network)
        self._record(sandbox_id)
        return await self._finish(self._start(sandbox_id))

    async def set_network(self, sandbox_id: SandboxId, network: NetworkPolicy) -> None:
        """Refuse what cannot be held to; nothing else changes."""
        _check_network(network)
        self._record(sandbox_id)
        keeper = self._keepers.get(sandbox_id)
        if keeper is None or not keeper.running:
            raise SandboxNotRunningError(sandbox_id)

    async def dial(self, sandbox_id: SandboxId) -> Stream:
        """Connect to the agent's socket."""
        self._record(sandbox_id)
        keeper = self._keepers.get(sandbox_id)
        if keeper is None or not keeper.running:  # an agent of an earlier server may still listen, and is about to end
            raise SandboxNotRunningError("the sandbox does not run")
        try:
            return await dial(self._folders.path(sandbox_id))
        except SandboxNotRunningError:
            self._record(sandbox_id)  # it may have been destroyed meanwhile
            raise

    async def observe(self) -> Sequence[Sandbox]:
        """List the folders."""
        return [self._sandbox(sandbox_id, record) for sandbox_id, record in self._folders.records()]

    async def usage(self, sandbox_id: SandboxId) -> Usage:
        """Measure the tree of processes; nothing ever kills them for their memory here."""
        tree = await self._measured(sandbox_id)
        return Usage(
            memory_bytes=tree.memory_bytes,
            memory_kills=0,
            memory_was_full=False,
            pids=tree.tasks,
            pids_max=None,
            pids_refused=0,
        )

    async def measurement(self, sandbox_id: SandboxId) -> Measurement:
        """Measure the tree of processes; there are no limits, and a folder's size would have to be counted."""
        tree = await self._measured(sandbox_id)
        return Measurement(
            memory_bytes=tree.memory_bytes,
            memory_bytes_max=None,
            cpu_s=tree.cpu_s,
            cpus=None,
            pids=tree.tasks,
            pids_max=None,
            disk_bytes=None,
            disk_bytes_max=None,
        )

    async def stop(self, sandbox_id: SandboxId) -> None:
        """End the keeper and all below it."""
        if self._folders.find(sandbox_id) is not None:
            await self._finish(self._stop(sandbox_id))

    async def destroy(self, sandbox_id: SandboxId) -> None:
        """End the keeper and remove the folder."""
        if self._folders.find(sandbox_id) is not None:
            await self._finish(self._destroy(sandbox_id))

    async def aclose(self) -> None:
        """End every sandbox's processes and let go of the folder; the files stay."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        async with asyncio.TaskGroup() as group:
            for sandbox_id in list(self._keepers):
                group.create_task(self._stop(sandbox_id))
        self._folders.close()

    async def _measured(self, sandbox_id: SandboxId) -> ProcessTree:
        self._record(sandbox_id)
        keeper = self._keepers.get(sandbox_id)
        if keeper is None or not keeper.running:
            raise SandboxNotRunningError("the sandbox does not run")
        return await asyncio.to_thread(measure_tree, keeper.pid)

    async def _finish(
        self, work: Coroutine[Any, Any, T], undo: Callable[[], Coroutine[Any, Any, None]] | None = None
    ) -> T:
        """Do something to its end, in the background when the caller is cancelled; ``undo`` it then, or on error."""
        task = self._own(work)
        try:
            return await asyncio.shield(task)
        except BaseException:
            if undo is not None:
                await asyncio.shield(self._own(self._undo(task, undo)))
            raise

    def _own(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _undo(self, task: asyncio.Task[T], undo: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await asyncio.wait({task})
        await undo()

    async def _create(self, sandbox_id: SandboxId, spec: SandboxSpec) -> Sandbox:
        self._require_room()
        record = Record(spec, self._clock())
        try:
            self._folders.add(sandbox_id, record)
        except OSError as error:
            raise NoRoomError("no folder could be made for another sandbox") from error
        return await self._start(sandbox_id)

    async def _start(self, sandbox_id: SandboxId) -> Sandbox:
        async with self._lock(sandbox_id):
            record = self._record(sandbox_id)
            folder = self._folders.path(sandbox_id)
            old = self._keepers.get(sandbox_id)
            if old is not None and old.running:
                if is_listening(folder):
                    return self._sandbox(sandbox_id, record)
                await old.wait_until_ended()
            self._require_room()
            lock_fd = await self._keeper_lock(sandbox_id)
            keeper = KeeperProcess(folder, file_bytes_max=record.spec.disk_bytes, lock_fd=lock_fd)
            self._keepers[sandbox_id] = keeper
            try:
                await keeper.wait_until_ready()
            except BaseException:
                await keeper.end()
                raise
            return self._sandbox(sandbox_id, record)

    async def _stop(self, sandbox_id: SandboxId) -> None:
        async with self._lock(sandbox_id):
            await self._end(sandbox_id)

    async def _destroy(self, sandbox_id: SandboxId) -> None:
        async with self._lock(sandbox_id):
            await self._end(sandbox_id)
            await asyncio.to_thread(self._folders.remove, sandbox_id)
        self._locks.pop(sandbox_id, None)

    async def _end(self, sandbox_id: SandboxId) -> None:
        keeper = self._keepers.pop(sandbox_id, None)
        if keeper is not None:
            await keeper.end()
        elif self._folders.find(sandbox_id) is not None:
            os.close(await self._keeper_lock(sandbox_id))

    async def _keeper_lock(self, sandbox_id: SandboxId) -> int:
        """Wait for a keeper whose server died to be through with ending its processes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_OLD_KEEPER_S):
                while True:
                    descriptor = self._folders.lock(sandbox_id)
                    if descriptor is not None:
                        return descriptor
                    await asyncio.sleep(_PAUSE_S)
        raise RuntimeUnavailableError("processes of an earlier server still run in the sandbox")

    def _lock(self, sandbox_id: SandboxId) -> asyncio.Lock:
        return self._locks.setdefault(sandbox_id, asyncio.Lock())

    def _record(self, sandbox_id: SandboxId) -> Record:
        record = self._folders.find(sandbox_id)
        if record is None:
            raise SandboxNotFoundError(f"there is no sandbox {sandbox_id}")
        return record

    def _require_room(self) -> None:
        if sum(keeper.running for keeper in self._keepers.values()) >= self._running_max:
            raise NoRoomError(f"{self._running_max} sandboxes run already", reason="sandboxes")

    def _sandbox(self, sandbox_id: SandboxId, record: Record) -> Sandbox:
        keeper = self._keepers.get(sandbox_id)
        state = SandboxState.RUNNING if keeper is not None and keeper.running else SandboxState.STOPPED
        return Sandbox(id=sandbox_id, state=state, created_at=record.created_at)


def _check_network(network: NetworkPolicy) -> None:
    if network.type != "disabled":
        raise NetworkRefusedError("the plain runtime has no walls, so it cannot hold to a network policy")
