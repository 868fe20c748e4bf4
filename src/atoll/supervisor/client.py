"""The ``Runtime`` that the server uses: speaks to the supervisor, and waits a little when it is away."""

import asyncio
import itertools
import os
import socket
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from atoll import about
from atoll.model.ids import SandboxId, is_id
from atoll.model.network_policy import NETWORK_DISABLED, NetworkPolicy
from atoll.model.runtime_metrics import RuntimeMetrics
from atoll.runtime.contract import (
    Capabilities,
    Measurement,
    RuntimeUnavailableError,
    Sandbox,
    SandboxNotFoundError,
    SandboxSpec,
    Stream,
    Usage,
)
from atoll.runtime.oci.unix_address import short_address
from atoll.runtime.stream import stream_from_socket
from atoll.supervisor import wire
from atoll.supervisor.wire import Answer, Operation, Request, WireError

_RETRY_PAUSE_S: Final = 0.05
_BLOCKING_TIMEOUT_S: Final = 10.0


class SupervisorClient:
    """One connection for any number of requests at once; belongs to the event loop of its first request."""

    def __init__(self, socket_path: Path, *, away_s_max: float = 10.0) -> None:
        """Connect at the first request. ``away_s_max`` is how long a request waits for a supervisor that is away."""
        self._socket_path = socket_path
        self._away_s_max = away_s_max
        self._capabilities: Capabilities | None = None
        self._connection: _Connection | None = None
        self._numbers = itertools.count()
        self._is_closed = False

    @property
    def capabilities(self) -> Capabilities:
        """What the supervisor's runtime holds to; asked for once, blocking, so ask before serving.

        Raises ``RuntimeUnavailableError``.
        """
        if self._capabilities is None:
            answer = _ask_blocking(self._socket_path, Request(id=0, op="capabilities"))
            self._capabilities = wire.capabilities_from_wire(answer.result)
        return self._capabilities

    async def create(self, spec: SandboxSpec, network: NetworkPolicy = NETWORK_DISABLED) -> Sandbox:
        """Make a sandbox. When cancelled, the sandbox is destroyed as soon as it is there."""
        answer = await self._ask("create", spec=spec, network=network)
        return wire.sandbox_from_wire(answer.result)

    async def start(self, sandbox_id: SandboxId, network: NetworkPolicy = NETWORK_DISABLED) -> Sandbox:
        """Bring a stopped one back."""
        _require_id(sandbox_id)
        answer = await self._ask_again("start", sandbox_id, network=network)
        return wire.sandbox_from_wire(answer.result)

    async def set_network(self, sandbox_id: SandboxId, network: NetworkPolicy) -> None:
        """Let one reach something else."""
        _require_id(sandbox_id)
        await self._ask_again("set_network", sandbox_id, network=network)

    async def dial(self, sandbox_id: SandboxId) -> Stream:
        """Connect to the agent."""
        _require_id(sandbox_id)
        answer = await self._ask_again("dial", sandbox_id)
        if answer.descriptor is None:
            raise RuntimeUnavailableError("the supervisor handed over no socket")
        return await stream_from_socket(socket.socket(fileno=answer.descriptor))

    async def observe(self) -> Sequence[Sandbox]:
        """List all."""
        sandboxes: list[Sandbox] = []
        has_more = True
        while has_more:
            after = sandboxes[-1].id if sandboxes else ""
            answer = await self._ask_again("observe", after=after)
            sandboxes += [wire.sandbox_from_wire(value) for value in answer.result["sandboxes"]]
            has_more = bool(answer.result["has_more"])
        return sandboxes

    async def usage(self, sandbox_id: SandboxId) -> Usage:
        """Measure one."""
        _require_id(sandbox_id)
        answer = await self._ask_again("usage", sandbox_id)
        return wire.usage_from_wire(answer.result)

    async def measurement(self, sandbox_id: SandboxId) -> Measurement:
        """Measure one for people."""
        _require_id(sandbox_id)
        return wire.measurement_from_wire((await self._ask_again("measurement", sandbox_id)).result)

    async def metrics(self) -> RuntimeMetrics:
        """Say what the supervisor counts."""
        return wire.metrics_from_wire((await self._ask_again("metrics")).result)

    async def stop(self, sandbox_id: SandboxId) -> None:
        """End one's processes."""
        if is_id("sbx_", sandbox_id):
            await self._ask_again("stop", sandbox_id)

    async def destroy(self, sandbox_id: SandboxId) -> None:
        """Remove one."""
        if is_id("sbx_", sandbox_id):
            await self._ask_again("destroy", sandbox_id)

    async def aclose(self) -> None:
        """Hang up; the supervisor destroys what it was still making for us."""
        self._is_closed = True
        if self._connection is not None:
            self._connection.close()

    async def _ask_again(
        self, op: Operation, sandbox_id: str = "", after: str = "", network: NetworkPolicy = NETWORK_DISABLED
    ) -> "_Answer":
        """Ask what may be asked twice, once more when the supervisor died over it."""
        try:
            return await self._ask(op, sandbox_id, after, network=network)
        except _ConnectionLostError:
            return await self._ask(op, sandbox_id, after, network=network)

    async def _ask(
        self,
        op: Operation,
        sandbox_id: str = "",
        after: str = "",
        spec: SandboxSpec | None = None,
        network: NetworkPolicy = NETWORK_DISABLED,
    ) -> "_Answer":
        connection = await self._connect()
        number = next(self._numbers)
        here = about.current()
        request = Request(
            id=number,
            op=op,
            sandbox_id=sandbox_id,
            after=after,
            spec=spec,
            network=network,
            request_id="" if here is None else here.request_id,
            container_id="" if here is None else here.container_id,
        )
        answer = connection.ask(request)
        try:
            return await answer
        except asyncio.CancelledError:
            connection.abandon(request, answer, self._numbers)
            raise

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._away_s_max
        while self._connection is None or self._connection.is_lost:
            if self._is_closed:
                raise RuntimeUnavailableError("the client was closed")
            try:
                self._connection = _Connection(_connect(self._socket_path, timeout_s=0))
            except OSError as error:
                if loop.time() >= deadline:
                    raise RuntimeUnavailableError("the supervisor is away") from error
                await asyncio.sleep(_RETRY_PAUSE_S)
        return self._connection


class _ConnectionLostError(RuntimeUnavailableError):
    """The supervisor died or hung up before it answered."""


@dataclass(frozen=True, slots=True)
class _Answer:
    result: dict[str, Any]
    descriptor: int | None


class _Connection:
    """A connected socket, and who waits for which answer."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, asyncio.Future[_Answer]] = {}
        self._abandoned: dict[int, Callable[[_Answer], None]] = {}
        self._unsent: deque[bytes] = deque()
        self.is_lost = False
        self._loop.add_reader(sock, self._on_readable)

    def ask(self, request: Request) -> asyncio.Future[_Answer]:
        """Send a request, soon; the future gives its answer or raises what the contract says.

        Raises ``RuntimeUnavailableError`` for what cannot be sent.
        """
        try:
            packet = wire.encode_request(request)
        except WireError as error:
            raise RuntimeUnavailableError(str(error)) from error
        future: asyncio.Future[_Answer] = self._loop.create_future()
        self._waiting[request.id] = future
        self._unsent.append(packet)
        self._send()
        return future

    def abandon(self, request: Request, future: "asyncio.Future[_Answer]", numbers: "itertools.count[int]") -> None:
        """Wait for an answer no more; what came of it, or will, is undone."""

        def undo(answer: _Answer) -> None:
            if answer.descriptor is not None:
                os.close(answer.descriptor)
            if request.op == "create" and not self.is_lost:
                sandbox_id = wire.sandbox_from_wire(answer.result).id
                destroy = Request(id=next(numbers), op="destroy", sandbox_id=sandbox_id)
                self._abandoned[destroy.id] = lambda _: None
                self._unsent.append(wire.encode_request(destroy))
                self._send()

        if self._waiting.pop(request.id, None) is not None:
            self._abandoned[request.id] = undo
        elif future.done() and not future.cancelled() and future.exception() is None:
            undo(future.result())  # it came in the moment of the cancelling

    def close(self) -> None:
        """Hang up; who waits is told that the outcome is unknown."""
        if self.is_lost:
            return
        self.is_lost = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(_ConnectionLostError("the supervisor went away before it answered"))
        self._waiting.clear()
        self._abandoned.clear()
        self._unsent.clear()

    def _send(self) -> None:
        try:
            while self._unsent:
                self._socket.send(self._unsent[0], socket.MSG_NOSIGNAL)
                self._unsent.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._socket, self._send)
        except OSError:
            # The end is told from reading: answers may still lie there.
            self._unsent.clear()
        else:
            self._loop.remove_writer(self._socket)

    def _on_readable(self) -> None:
        try:
            packet, descriptor = _receive(self._socket)
            if not packet:
                self.close()
                return
            self._settle(wire.decode_answer(packet), descriptor)
        except BlockingIOError:
            return
        except (OSError, WireError):
            self.close()

    def _settle(self, answer: Answer, descriptor: int | None) -> None:
        value = _Answer(answer.result, descriptor)
        future = self._waiting.pop(answer.id, None)
        if future is not None and not future.done():
            if answer.error is not None:
                future.set_exception(answer.error)
            else:
                future.set_result(value)
            return
        undo = self._abandoned.pop(answer.id, None)
        if undo is not None and answer.error is None:
            undo(value)
        elif descriptor is not None:
            os.close(descriptor)


def _require_id(sandbox_id: str) -> None:
    """Raise ``SandboxNotFoundError`` for what cannot be a sandbox's id; the supervisor hangs up on such a thing."""
    if not is_id("sbx_", sandbox_id):
        raise SandboxNotFoundError(sandbox_id)


def _connect(path: Path, *, timeout_s: float) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.settimeout(timeout_s)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, wire.MESSAGE_BYTES_MAX)
    try:
        with short_address(path) as address:
            sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def _receive(sock: socket.socket) -> tuple[bytes, int | None]:
    """Receive one packet and the descriptor that it may carry."""
    space = socket.CMSG_SPACE(array("i").itemsize)
    packet, control, _, _ = sock.recvmsg(wire.MESSAGE_BYTES_MAX, space, socket.MSG_CMSG_CLOEXEC)
    descriptors = array("i")
    for level, kind, data in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    for surplus in descriptors[1:]:
        os.close(surplus)
    return packet, descriptors[0] if descriptors else None


def _ask_blocking(path: Path, request: Request) -> Answer:
    try:
        with _connect(path, timeout_s=_BLOCKING_TIMEOUT_S) as sock:
            sock.send(wire.encode_request(request))
            answer = wire.decode_answer(sock.recv(wire.MESSAGE_BYTES_MAX))
    except (OSError, WireError) as error:
        raise RuntimeUnavailableError("the supervisor is away") from error
    if answer.error is not None:
        raise answer.error
    return answer
