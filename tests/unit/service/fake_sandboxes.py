"""A runtime in memory whose sandboxes have an agent that speaks the real protocol and does what its code says.

Code is one word and its arguments, a line: ``say TEXT``, ``write NAME TEXT``, ``remove NAME``, ``wait``, ``die``,
``oom [machine]``, ``fork N``, ``fall``, ``garbage``, ``silent``, ``exit N``.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from atoll.guest.protocol import FrameDecoder, FrameType, decode_json, encode, encode_json
from atoll.model.ids import IdGenerator, SandboxId
from atoll.model.network_policy import NETWORK_DISABLED, NetworkPolicy
from atoll.runtime.contract import (
    Capabilities,
    Measurement,
    Sandbox,
    SandboxNotFoundError,
    SandboxNotRunningError,
    SandboxSpec,
    SandboxState,
    Stream,
    Usage,
)

ROOT = "/mnt/data/"


class MemoryStream:
    """One end of a duplex stream."""

    def __init__(self, incoming: asyncio.Queue[bytes], outgoing: asyncio.Queue[bytes]) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._rest = b""
        self.closed = False

    async def read(self, size_max: int) -> bytes:
        if not self._rest and not self.closed:
            self._rest = await self._incoming.get()
        piece, self._rest = self._rest[:size_max], self._rest[size_max:]
        if not piece:
            self.closed = True
        return piece

    async def write(self, data: bytes) -> None:
        if self.closed:
            raise ConnectionResetError("closed")
        if data:
            await self._outgoing.put(data)

    def is_quiet(self) -> bool:
        return not (self.closed or self._rest or self._incoming.qsize())

    async def aclose(self) -> None:
        if not self.closed:
            self.closed = True
            self._outgoing.put_nowait(b"")
            self._incoming.put_nowait(b"")


def stream_pair() -> tuple[MemoryStream, MemoryStream]:
    one: asyncio.Queue[bytes] = asyncio.Queue()
    other: asyncio.Queue[bytes] = asyncio.Queue()
    return MemoryStream(one, other), MemoryStream(other, one)


class HungUpError(Exception):
    """The host went away."""


@dataclass(eq=False)
class FakeSandbox:
    """Files, and an agent while it runs."""

    id: SandboxId
    spec: SandboxSpec
    created_at: float = 0.0
    state: SandboxState = SandboxState.RUNNING
    files: dict[str, bytes] = field(default_factory=dict)
    memory_kills: int = 0
    memory_was_full: bool = False
    pids: int = 1
    pids_taken: int = 1
    pids_refused: int = 0
    busy: int = 0
    cpu_s: float = 0.0
    restarts: int = 0
    disk_full: bool = False
    lies: bytes | None = None
    running_call: asyncio.Event | None = None
    release: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    streams: set[MemoryStream] = field(default_factory=set)
    interrupted_by_hang_up: int = 0
    requests: list[str] = field(default_factory=list)

    def connect(self) -> Stream:
        host, guest = stream_pair()
        self.streams.add(guest)
        task = asyncio.create_task(self._serve(guest))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return host

    def fork(self, count: int) -> None:
        """Start processes that stay, as far as the limit lets them."""
        started = min(count, self.spec.pids_max - self.pids)
        self.pids += started
        self.pids_taken += count
        self.pids_refused += count - started

    async def fall(self) -> None:
        self.state = SandboxState.STOPPED
        for stream in tuple(self.streams):
            await stream.aclose()
        tasks = self.tasks - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, stream: MemoryStream) -> None:
        connection = Connection(stream)
        try:
            is_kept = True
            while is_kept:
                kind, payload = await connection.frame()
                assert kind is FrameType.REQUEST
                if self.lies is not None:
                    await stream.write(self.lies)
                    return
                request = decode_json(payload)
                await Agent(self, connection).answer(request)
                is_kept = request.get("keep") is True and not connection.refused
        except (HungUpError, ConnectionError):
            pass
        finally:
            self.streams.discard(stream)
            with suppress(asyncio.CancelledError):
                await stream.aclose()


class Connection:
    def __init__(self, stream: MemoryStream) -> None:
        self.stream = stream
        self._decoder = FrameDecoder()
        self._frames: list[tuple[FrameType, bytes]] = []
        self.refused = False

    async def frame(self) -> tuple[FrameType, bytes]:
        while not self._frames:
            data = await self.stream.read(65536)
            if not data:
                raise HungUpError
            self._frames.extend(self._decoder.feed(data))
        return self._frames.pop(0)

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            kind, payload = await self.frame()
            if kind is FrameType.END:
                return
            yield payload

    async def say(self, kind: FrameType, value: dict[str, Any]) -> None:
        await self.stream.write(encode_json(kind, value))

    async def text(self, text: str, kind: FrameType = FrameType.STDOUT) -> None:
        await self.stream.write(encode(kind, text.encode()))

    async def refuse(self, code: str) -> None:
        self.refused = True
        await self.say(FrameType.FAILURE, {"code": code, "message": code})


class Agent:
    """One connection's work."""

    def __init__(self, sandbox: FakeSandbox, connection: Connection) -> None:
        self._sandbox, self._connection = sandbox, connection

    async def answer(self, request: dict[str, Any]) -> None:
        await getattr(self, "_" + request["op"])(request)

    def _file(self, path: str) -> dict[str, Any]:
        return {"path": path, "size": len(self._sandbox.files[path]), "mtime_ns": 1}

    async def _hello(self, _: dict[str, Any]) -> None:
        await self._connection.say(FrameType.RESULT, {"protocol": 1})

    async def _files_list(self, _: dict[str, Any]) -> None:
        files = [self._file(path) for path in self._sandbox.files]
        await self._connection.say(FrameType.EVENT, {"event": "files", "files": files})
        await self._connection.say(FrameType.RESULT, {"complete": True})

    async def _file_put(self, request: dict[str, Any]) -> None:
        path, content = request["path"], b""
        if request["exclusive"] and path in self._sandbox.files:
            await self._connection.refuse("exists")
            return
        async for chunk in self._connection.chunks():
            content += chunk
        if self._sandbox.disk_full:
            await self._connection.refuse("no_space")
            return
        self._sandbox.files[path] = content
        await self._connection.say(FrameType.RESULT, self._file(path))

    async def _file_get(self, request: dict[str, Any]) -> None:
        content = self._sandbox.files.get(request["path"])
        if content is None:
            await self._connection.refuse("not_found")
            return
        await self._connection.say(FrameType.EVENT, {"event": "opened", "size": len(content)})
        end = None if request["length"] is None else request["offset"] + request["length"]
        wanted = content[request["offset"] : end]
        for start in range(0, len(wanted), 1000):
            await self._connection.stream.write(encode(FrameType.DATA, wanted[start : start + 1000]))
        await self._connection.say(FrameType.RESULT, {})

    async def _file_delete(self, request: dict[str, Any]) -> None:
        was_there = self._sandbox.files.pop(request["path"], None) is not None
        await self._connection.say(FrameType.RESULT, {"deleted": was_there})

    async def _interrupt(self, _: dict[str, Any]) -> None:
        running = self._sandbox.running_call
        if running is not None:
            running.set()
        await self._connection.say(FrameType.RESULT, {"interrupted": running is not None})

    async def _restart(self, _: dict[str, Any]) -> None:
        self._sandbox.restarts += 1
        if self._sandbox.running_call is not None:
            self._sandbox.running_call.set()
        await self._connection.say(FrameType.RESULT, {})

    async def _python(self, request: dict[str, Any]) -> None:
        self._sandbox.requests.append(request["code"])
        outcome, files = await self._run(request["code"].splitlines())
        if outcome is not None:
            await self._connection.say(
                FrameType.RESULT,
                {
                    "outcome": outcome,
                    "omitted_bytes": 0,
                    "images_omitted": 0,
                    "pids_taken": self._sandbox.pids_taken,
                    "files": files,
                },
            )

    async def _shell(self, request: dict[str, Any]) -> None:
        files: list[dict[str, Any]] = []
        kind = "ok"
        for index, command in enumerate(request["commands"]):
            outcome, made = await self._run([command])
            if outcome is None:
                return
            files += made
            exit_code: int | None = {"ok": 0, "died": 137}.get(outcome["type"])
            if outcome["type"] == "exit":
                exit_code = outcome["code"]
            if exit_code is None:
                kind = outcome["type"]
            ended = {
                "event": "command_ended",
                "index": index,
                "exit_code": exit_code,
                "pids_taken": self._sandbox.pids_taken,
            }
            await self._connection.say(FrameType.EVENT, ended)
        await self._connection.say(FrameType.RESULT, {"outcome": {"type": kind}, "files": files})

    async def _run(self, lines: Sequence[str]) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
        """Do what the lines say; gives the outcome, or ``None`` when there is nothing more to be said to the host."""
        files: list[dict[str, Any]] = []
        if self._sandbox.busy:
            self._sandbox.busy -= 1
            await self._connection.refuse("busy")
            return None, []
        for line in lines:
            word, _, rest = line.partition(" ")
            if word in {"fall", "garbage", "silent"}:
                await self._misbehave(word)
                return None, []
            outcome = await self._obey(word, rest, files)
            if outcome is not None:
                return outcome, files
        return {"type": "ok"}, files

    async def _obey(self, word: str, rest: str, files: list[dict[str, Any]]) -> dict[str, Any] | None:
        sandbox = self._sandbox
        match word:
            case "say":
                await self._connection.text(rest)
            case "write":
                name, _, text = rest.partition(" ")
                sandbox.files[ROOT + name] = text.encode()
                files.append(self._file(ROOT + name))
            case "remove":
                sandbox.files.pop(ROOT + rest)
            case "wait":
                return None if await self._wait() else {"type": "interrupted"}
            case "die" | "oom":
                sandbox.memory_kills += word == "oom"
                sandbox.memory_was_full = word == "oom" and rest != "machine"
                return {"type": "died", "signal": 9, "exit_code": None}
            case "fork":
                sandbox.fork(int(rest))
            case "exit":
                return {"type": "exit", "code": int(rest)}
        return None

    async def _misbehave(self, word: str) -> None:
        match word:
            case "fall":
                await self._sandbox.fall()
            case "garbage":
                await self._connection.stream.write(b"\xff" * 10)
            case "silent":
                await self._hung_up()

    async def _wait(self) -> bool:
        """Wait for the test's word; false when interrupted. Raises when the host hangs up."""
        sandbox = self._sandbox
        interrupted = sandbox.running_call = asyncio.Event()
        watched = [
            asyncio.ensure_future(work) for work in (sandbox.release.wait(), interrupted.wait(), self._hung_up())
        ]
        try:
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if watched[2].done():
                sandbox.interrupted_by_hang_up += 1
                raise HungUpError
            return not interrupted.is_set()
        finally:
            sandbox.running_call = None
            for task in watched:
                task.cancel()
            await asyncio.gather(*watched, return_exceptions=True)

    async def _hung_up(self) -> None:
        with suppress(HungUpError):
            await self._connection.frame()


class FakeRuntime:
    """Sandboxes in a dict. ``failures`` are raised once each, before the method does anything."""

    def __init__(self, *, memory_bytes_max: int = 4 << 30) -> None:
        self.sandboxes: dict[SandboxId, FakeSandbox] = {}
        self.failures: defaultdict[str, list[Exception]] = defaultdict(list)
        self.calls: list[str] = []
        self.allowlists = True
        self.limits = False
        self.networks: dict[SandboxId, NetworkPolicy] = {}
        self.create_gate = asyncio.Event()
        self.create_gate.set()
        self.start_gate = asyncio.Event()
        self.start_gate.set()
        self._ids = IdGenerator()
        self._memory_bytes_max = memory_bytes_max

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            name="fake",
            walls=False,
            limits=self.limits,
            survives_restart=True,
            allowlists=self.allowlists,
            memory_bytes_max=self._memory_bytes_max,
        )

    @property
    def only(self) -> FakeSandbox:
        (sandbox,) = self.sandboxes.values()
        return sandbox

    async def create(self, spec: SandboxSpec, network: NetworkPolicy = NETWORK_DISABLED) -> Sandbox:
        self._begin("create")
        sandbox = FakeSandbox(SandboxId(self._ids.new("sbx_")), spec)
        self.networks[sandbox.id] = network
        self.sandboxes[sandbox.id] = sandbox  # seen by observe before create has returned, as with real ones
        await self.create_gate.wait()
        return _public(sandbox)

    async def start(self, sandbox_id: SandboxId, network: NetworkPolicy = NETWORK_DISABLED) -> Sandbox:
        self._begin("start")
        sandbox = self._find(sandbox_id)
        await self.start_gate.wait()
        if sandbox.state is SandboxState.STOPPED:
            self.networks[sandbox_id] = network
            sandbox.state = SandboxState.RUNNING
            sandbox.memory_kills = 0
        return _public(sandbox)

    async def set_network(self, sandbox_id: SandboxId, network: NetworkPolicy) -> None:
        self._begin("set_network")
        self._running(sandbox_id)
        self.networks[sandbox_id] = network

    async def dial(self, sandbox_id: SandboxId) -> Stream:
        self._begin("dial")
        return self._running(sandbox_id).connect()

    async def observe(self) -> Sequence[Sandbox]:
        self._begin("observe")
        return [_public(sandbox) for sandbox in self.sandboxes.values()]

    async def usage(self, sandbox_id: SandboxId) -> Usage:
        self._begin("usage")
        sandbox = self._running(sandbox_id)
        return Usage(
            memory_bytes=0,
            memory_kills=sandbox.memory_kills,
            memory_was_full=sandbox.memory_was_full,
            pids=sandbox.pids,
            pids_max=sandbox.spec.pids_max,
            pids_refused=sandbox.pids_refused,
        )

    async def measurement(self, sandbox_id: SandboxId) -> Measurement:
        self._begin("measurement")
        sandbox = self._running(sandbox_id)
        return Measurement(
            memory_bytes=5,
            memory_bytes_max=sandbox.spec.memory_bytes,
            cpu_s=sandbox.cpu_s,
            cpus=sandbox.spec.cpus,
            pids=sandbox.pids,
            pids_max=sandbox.spec.pids_max,
            disk_bytes=7,
            disk_bytes_max=sandbox.spec.disk_bytes,
        )

    async def stop(self, sandbox_id: SandboxId) -> None:
        self._begin("stop")
        if sandbox_id in self.sandboxes:
            await self.sandboxes[sandbox_id].fall()

    async def destroy(self, sandbox_id: SandboxId) -> None:
        self._begin("destroy")
        sandbox = self.sandboxes.pop(sandbox_id, None)
        if sandbox is not None:
            await sandbox.fall()

    async def aclose(self) -> None:
        for sandbox in self.sandboxes.values():
            await sandbox.fall()

    def reboot(self) -> None:
        for sandbox in self.sandboxes.values():
            sandbox.state = SandboxState.STOPPED

    def _begin(self, method: str) -> None:
        self.calls.append(method)
        if self.failures[method]:
            raise self.failures[method].pop(0)

    def _find(self, sandbox_id: SandboxId) -> FakeSandbox:
        if sandbox_id not in self.sandboxes:
            raise SandboxNotFoundError(sandbox_id)
        return self.sandboxes[sandbox_id]

    def _running(self, sandbox_id: SandboxId) -> FakeSandbox:
        sandbox = self._find(sandbox_id)
        if sandbox.state is SandboxState.STOPPED:
            raise SandboxNotRunningError(sandbox_id)
        return sandbox


def _public(sandbox: FakeSandbox) -> Sandbox:
    return Sandbox(id=sandbox.id, state=sandbox.state, created_at=sandbox.created_at)
