"""The supervisor's socket: who may ask, and the threads that answer."""

import logging
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from typing import Any, Final, Protocol

from atoll import about
from atoll.model.network_policy import NetworkPolicy
from atoll.model.runtime_metrics import RuntimeMetrics
from atoll.runtime.contract import (
    Capabilities,
    Measurement,
    RuntimeFailure,
    RuntimeUnavailableError,
    Sandbox,
    SandboxSpec,
    Usage,
)
from atoll.runtime.oci.unix_address import short_address
from atoll.supervisor import wire
from atoll.supervisor.settings import SupervisorSettings
from atoll.supervisor.wire import Operation, Request, WireError

_log = logging.getLogger(__name__)

_BACKLOG: Final = 64
_CONNECTIONS_MAX: Final = 64
_WAITING_MAX: Final = 1024
_EXHAUSTED_PAUSE_S: Final = 0.2
_SEND_TIMEOUT: Final = struct.pack("ll", 10, 0)  # a struct timeval: a client that does not read is hung up on
_CREDENTIALS: Final = struct.Struct("3i")

# What takes long, ends things, or is quick: one sort never waits for another.
_SLOW: Final[frozenset[Operation]] = frozenset({"create", "start"})
_ENDING: Final[frozenset[Operation]] = frozenset({"stop", "destroy"})


class Engine(Protocol):
    """Who does the work: ``runtime.oci.engine.Engine``, in blocking calls from many threads."""

    @property
    def capabilities(self) -> Capabilities: ...

    def create(self, spec: SandboxSpec, network: NetworkPolicy) -> Sandbox: ...

    def start(self, sandbox_id: str, network: NetworkPolicy) -> Sandbox: ...

    def set_network(self, sandbox_id: str, network: NetworkPolicy) -> None: ...

    def dial(self, sandbox_id: str) -> socket.socket: ...

    def observe(self, after: str) -> tuple[list[Sandbox], bool]: ...

    def usage(self, sandbox_id: str) -> Usage: ...

    def measurement(self, sandbox_id: str) -> Measurement: ...

    def metrics(self) -> RuntimeMetrics: ...

    def stop(self, sandbox_id: str) -> None: ...

    def destroy(self, sandbox_id: str) -> None: ...

    def held(self, sandbox_id: str) -> AbstractContextManager[bool]: ...

    def named(self, sandbox_id: str) -> None: ...


class SupervisorServer:
    """Listens from its making until ``close``."""

    def __init__(self, engine: Engine, settings: SupervisorSettings, on_first_client: Callable[[], None]) -> None:
        """Raise ``OSError`` when the socket cannot be made. ``on_first_client`` is called once, and must not block."""
        self._engine = engine
        self._on_first_client: Callable[[], None] | None = on_first_client
        self._allowed_uids = {0, settings.server_uid}
        making = max(4, 2 * (os.cpu_count() or 1))
        self._making = ThreadPoolExecutor(making, "making")
        self._ending = ThreadPoolExecutor(making, "ending")
        self._quick = ThreadPoolExecutor(8, "quick")
        self._holding = ThreadPoolExecutor(1, "holding")
        self._stopping = os.eventfd(0, os.EFD_CLOEXEC)
        self._is_closed = False
        self._connections: set[_Connection] = set()
        self._listener = _listen(settings)
        self._thread = threading.Thread(target=self._accept, name="accept")
        self._thread.start()

    def close(self) -> None:
        """Take no more requests, finish those that run, hang up. Again is no error."""
        if self._is_closed:
            return
        self._is_closed = True
        os.eventfd_write(self._stopping, 1)
        self._thread.join()
        self._listener.close()
        os.close(self._stopping)
        connections = list(self._connections)
        for connection in connections:
            connection.stop_reading()
        for connection in connections:
            connection.join()
        for pool in (self._making, self._ending, self._quick, self._holding):
            pool.shutdown()

    def _accept(self) -> None:
        self._listener.setblocking(False)
        waiting = select.poll()
        waiting.register(self._listener, select.POLLIN)
        waiting.register(self._stopping, select.POLLIN)
        while self._stopping not in [descriptor for descriptor, _ in waiting.poll()]:
            try:
                peer, _ = self._listener.accept()
            except BlockingIOError:  # who came has gone
                continue
            except OSError:  # out of descriptors or memory: others must be let go of first
                _log.exception("cannot accept")
                time.sleep(_EXHAUSTED_PAUSE_S)
                continue
            self._welcome(peer)

    def _welcome(self, peer: socket.socket) -> None:
        pid, uid, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        if uid not in self._allowed_uids or len(self._connections) >= _CONNECTIONS_MAX:
            _log.warning("process %d of user %d is not served", pid, uid)
            peer.close()
            return
        peer.settimeout(None)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _SEND_TIMEOUT)
        connection = _Connection(peer, self._answer, self._connections.discard)
        self._connections.add(connection)
        connection.start()
        if self._on_first_client is not None:
            self._on_first_client()
            self._on_first_client = None

    def _answer(self, connection: "_Connection", request: Request) -> None:
        self._pool_for(request.op).submit(self._act, connection, request)

    def _pool_for(self, op: Operation) -> ThreadPoolExecutor:
        if op == "hold":
            return self._holding
        return self._making if op in _SLOW else self._ending if op in _ENDING else self._quick

    def _act(self, connection: "_Connection", request: Request) -> None:
        with about.concerning(request_id=request.request_id, container_id=request.container_id):
            self._handle(connection, request)

    def _handle(self, connection: "_Connection", request: Request) -> None:
        try:
            is_told = bool(request.sandbox_id and request.container_id)
            if is_told and about.name_sandbox(request.sandbox_id, request.container_id):
                self._engine.named(request.sandbox_id)
            _HANDLERS[request.op](self._engine, connection, request)
        except RuntimeFailure as error:
            connection.send(wire.encode_error(request.id, error))
        except Exception:  # noqa: BLE001 - whatever it is, the client must not wait for ever
            _log.exception("%s failed", request.op)
            connection.send(wire.encode_error(request.id, RuntimeUnavailableError(f"{request.op} failed")))
        finally:
            connection.answered()


class _Connection:
    """One client: a thread that reads, and a way to answer from any thread."""

    def __init__(
        self,
        peer: socket.socket,
        on_request: "Callable[[_Connection, Request], None]",
        on_end: "Callable[[_Connection], None]",
    ) -> None:
        self._peer = peer
        self._on_request = on_request
        self._on_end = on_end
        self._waiting = 0
        self._has_ended = False
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._read, name="connection", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def send(self, packet: bytes, descriptor: int | None = None) -> bool:
        """Send an answer; ``False`` when the client is gone or does not read."""
        try:
            socket.send_fds(self._peer, [packet], [] if descriptor is None else [descriptor], socket.MSG_NOSIGNAL)
        except OSError:
            self.stop_reading()
            return False
        return True

    def answered(self) -> None:
        with self._lock:
            self._waiting -= 1
            self._close_when_done()

    def stop_reading(self) -> None:
        with suppress(OSError):
            self._peer.shutdown(socket.SHUT_RD)

    def wait_for_end(self, timeout_s: float) -> None:
        """Wait until the client hangs up."""
        self._end.wait(timeout_s)

    def join(self) -> None:
        self._thread.join()

    def _read(self) -> None:
        try:
            while packet := self._peer.recv(wire.MESSAGE_BYTES_MAX):
                request = wire.decode_request(packet)
                with self._lock:
                    self._waiting += 1
                    too_many = self._waiting > _WAITING_MAX
                if too_many:
                    self.answered()
                    error = RuntimeUnavailableError("too many requests at once")
                    self.send(wire.encode_error(request.id, error))
                else:
                    self._on_request(self, request)
        except WireError as error:
            _log.warning("a client is hung up on: %s", error)
        except OSError:
            _log.debug("a client is gone", exc_info=True)
        finally:
            self._finish()

    def _finish(self) -> None:
        self._on_end(self)
        self._end.set()
        with self._lock:
            self._has_ended = True
            self._close_when_done()

    def _close_when_done(self) -> None:
        """Close the socket when nobody reads or answers on it any more: its number must not be used after."""
        if self._has_ended and self._waiting == 0:
            self._peer.close()


def _create(engine: Engine, connection: _Connection, request: Request) -> None:
    if request.spec is None:
        raise RuntimeUnavailableError("a create without a spec")
    sandbox = engine.create(request.spec, request.network)
    if not connection.send(wire.encode_result(request.id, wire.sandbox_to_wire(sandbox))):
        engine.destroy(sandbox.id)  # nobody was told of it


def _start(engine: Engine, connection: _Connection, request: Request) -> None:
    sandbox = engine.start(request.sandbox_id, request.network)
    connection.send(wire.encode_result(request.id, wire.sandbox_to_wire(sandbox)))


def _set_network(engine: Engine, connection: _Connection, request: Request) -> None:
    engine.set_network(request.sandbox_id, request.network)
    connection.send(wire.encode_result(request.id, {}))


def _dial(engine: Engine, connection: _Connection, request: Request) -> None:
    with engine.dial(request.sandbox_id) as stream:
        connection.send(wire.encode_result(request.id, {}), stream.fileno())


def _observe(engine: Engine, connection: _Connection, request: Request) -> None:
    sandboxes, has_more = engine.observe(request.after)
    page = [wire.sandbox_to_wire(sandbox) for sandbox in sandboxes]
    connection.send(wire.encode_result(request.id, {"sandboxes": page, "has_more": has_more}))


def _usage(engine: Engine, connection: _Connection, request: Request) -> None:
    usage = engine.usage(request.sandbox_id)
    connection.send(wire.encode_result(request.id, wire.usage_to_wire(usage)))


def _measurement(engine: Engine, connection: _Connection, request: Request) -> None:
    measurement = engine.measurement(request.sandbox_id)
    connection.send(wire.encode_result(request.id, wire.measurement_to_wire(measurement)))


def _stop(engine: Engine, connection: _Connection, request: Request) -> None:
    engine.stop(request.sandbox_id)
    connection.send(wire.encode_result(request.id, {}))


def _destroy(engine: Engine, connection: _Connection, request: Request) -> None:
    engine.destroy(request.sandbox_id)
    connection.send(wire.encode_result(request.id, {}))


def _hold(engine: Engine, connection: _Connection, request: Request) -> None:
    with engine.held(request.sandbox_id) as is_still:
        connection.send(wire.encode_result(request.id, {"is_still": is_still}))
        connection.wait_for_end(wire.HOLD_S_MAX)


def _metrics(engine: Engine, connection: _Connection, request: Request) -> None:
    connection.send(wire.encode_result(request.id, wire.metrics_to_wire(engine.metrics())))


def _capabilities(engine: Engine, connection: _Connection, request: Request) -> None:
    connection.send(wire.encode_result(request.id, wire.capabilities_to_wire(engine.capabilities)))


_HANDLERS: Final[Mapping[Operation, Callable[[Engine, _Connection, Request], Any]]] = {
    "create": _create,
    "start": _start,
    "set_network": _set_network,
    "dial": _dial,
    "observe": _observe,
    "usage": _usage,
    "measurement": _measurement,
    "stop": _stop,
    "destroy": _destroy,
    "hold": _hold,
    "metrics": _metrics,
    "capabilities": _capabilities,
}


def _listen(settings: SupervisorSettings) -> socket.socket:
    path = settings.socket_path
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with short_address(path) as address:
            listener.bind(address)
        # Until now nobody could connect: it does not listen yet.
        os.chown(path, -1, settings.server_gid)
        path.chmod(0o660)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
