"""A sandbox's way out: its sockets, its policy, and the connections that go through."""

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from atoll.egress.address_pool import AddressPool
from atoll.egress.allowlist import Allowlist
from atoll.egress.audit import Audit
from atoll.egress.bounds import Bounds, TokenBucket
from atoll.egress.buffers import buffer_bytes, limit_buffers
from atoll.egress.connection import Connection
from atoll.egress.crowd import Crowd
from atoll.egress.dialling import Dialler
from atoll.egress.meter import Meter
from atoll.egress.name_server import NameServer
from atoll.egress.refusal import RefusedError
from atoll.egress.tls_ending import TlsEnding
from atoll.model.container_stats import Traffic
from atoll.model.egress_decision import EgressReason
from atoll.model.ids import SandboxId

_ACCEPTED_AT_ONCE: Final = 16
_EXHAUSTED_PAUSE_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class House:
    """What all gates share."""

    bounds: Bounds
    dialler: Dialler
    audit: Audit
    crowd: Crowd
    clock: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Passage:
    """What a policy comes to: what is allowed, and whose TLS is ended."""

    allowlist: Allowlist
    ending: TlsEnding | None = None

    def secrets_of(self, name: str) -> Mapping[str, str]:
        """Give the values that are put into requests to a name."""
        return {} if self.ending is None else self.ending.values_for(name)


class Gate:
    """Open from its making until ``close``; takes the sockets over. Belongs to one event loop.

    ``sockets`` are those inside the sandbox: the name server's for UDP first, its for TCP second, then the others.
    """

    def __init__(
        self, sandbox_id: SandboxId, run: str, passage: Passage, sockets: Sequence[socket.socket], house: House
    ) -> None:
        self.sandbox_id = sandbox_id
        self.run = run
        self._passage = passage
        self._house = house
        self._loop = asyncio.get_running_loop()
        self._pool = AddressPool()
        self._bytes_left = house.bounds.bytes_max
        self._queries = TokenBucket(house.bounds.queries_per_s_max, house.clock)
        self._accepts = TokenBucket(house.bounds.connections_per_s_max, house.clock)
        self._sent = self._received = self._refused = 0
        self._connections: dict[asyncio.Task[None], Connection | None] = {}
        self._turn = asyncio.Lock()
        self._pause: asyncio.TimerHandle | None = None
        self._is_accepting = False
        self._names = NameServer(
            self._pool,
            lambda name: bool(self._passage.allowlist.ports_of(name)),
            self._refused_query,
            self._queries.take,
            has_ipv6=sockets[0].family == socket.AF_INET6,
        )
        self._datagrams, self._name_listener, *_ = sockets
        self._listeners = list(sockets[1:])
        self._loop.add_reader(self._datagrams.fileno(), self._names.on_datagrams, self._datagrams)
        self._accept_again()

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._connections)

    @property
    def traffic(self) -> Traffic:
        """What went through since it was opened, and how often it was refused."""
        meters = [connection.meter for connection in self._connections.values() if connection is not None]
        return Traffic(
            sent=self._sent + sum(meter.sent for meter in meters),
            received=self._received + sum(meter.received for meter in meters),
            refused=self._refused,
        )

    def change(self, passage: Passage) -> set[asyncio.Task[None]]:
        """Go by another policy from now on; gives the connections that do not fit it and that are about to end.

        Those are to names that it does not allow, and to names whose secrets are others now.
        """
        before, self._passage = self._passage, passage
        ending = set()
        for task, connection in self._connections.items():
            if connection is None or connection.name is None:
                continue
            name = connection.name
            if not self._allows(name, connection.port) or before.secrets_of(name) != passage.secrets_of(name):
                connection.cut(EgressReason.POLICY_CHANGED)
                ending.add(task)
        return ending

    def close(self) -> None:
        """End every connection and let go of the sockets."""
        self._stop_accepting()
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._datagrams.fileno())
        self._datagrams.close()
        for listener in self._listeners:
            listener.close()
        for task, connection in list(self._connections.items()):
            if connection is None:
                task.cancel()
            else:
                connection.cut(EgressReason.ALLOWED)

    def _accept_again(self) -> None:
        if not self._is_accepting:
            self._is_accepting = True
            for listener in self._listeners:
                self._loop.add_reader(listener.fileno(), self._accept, listener)

    def _stop_accepting(self) -> None:
        """Leave who comes in the kernel's queue, which is bounded, too."""
        if self._is_accepting:
            self._is_accepting = False
            for listener in self._listeners:
                self._loop.remove_reader(listener.fileno())

    def _pause_accepting(self, seconds: float) -> None:
        self._stop_accepting()
        if self._pause is not None:
            self._pause.cancel()
        self._pause = self._loop.call_later(seconds, self._accept_again)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            if len(self._connections) >= self._house.bounds.connections_max:
                self._stop_accepting()  # until one of them ends
                return
            if not self._house.crowd.has_room(len(self._connections)):
                self._pause_accepting(_EXHAUSTED_PAUSE_S)
                return
            wait_s = self._accepts.take()
            if wait_s > 0:
                self._pause_accepting(wait_s)
                return
            try:
                inside, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError:  # out of descriptors or memory, or who came has gone
                self._pause_accepting(_EXHAUSTED_PAUSE_S)
                return
            inside.setblocking(False)
            self._begin(inside, is_query=listener is self._name_listener)

    def _begin(self, inside: socket.socket, *, is_query: bool) -> None:
        self._house.crowd.enter()
        if is_query:
            task = self._loop.create_task(self._names.serve_stream(inside))
            self._connections[task] = None
        else:
            size = buffer_bytes(len(self._connections) + 1)
            with suppress(OSError):
                inside.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                limit_buffers(inside, size)
            connection = self._connection(inside, size)
            task = self._loop.create_task(self._play(connection))
            self._connections[task] = connection
        task.add_done_callback(self._ended)

    def _connection(self, inside: socket.socket, size: int) -> Connection:
        bounds = self._house.bounds

        def note(reason: EgressReason) -> None:
            self._note(connection, reason, 0, 0)

        connection = Connection(
            inside,
            name_at=self._pool.name_at,
            allows=self._allows,
            dialler=self._house.dialler,
            ending=lambda: self._passage.ending,
            note=note,
            meter=Meter(self._loop.time, self._spend),
            turn=self._turn,
            buffer_bytes=size,
            hello_s_max=bounds.hello_s_max,
            idle_s_max=bounds.idle_s_max,
        )
        return connection

    async def _play(self, connection: Connection) -> None:
        reason = EgressReason.ALLOWED
        try:
            reason = await connection.run()
        finally:  # whatever went wrong here, somebody out there may have been spoken to
            self._note(connection, reason, connection.meter.sent, connection.meter.received)

    def _note(self, connection: Connection, reason: EgressReason, sent: int, received: int) -> None:
        self._refused += reason is not EgressReason.ALLOWED
        self._house.audit.connection(self.sandbox_id, connection.target, connection.port, reason, sent, received)

    def _refused_query(self, name: str) -> None:
        self._refused += 1
        self._house.audit.refused_query(self.sandbox_id, name)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        connection = self._connections.pop(task)
        self._house.crowd.leave()
        if connection is not None:
            self._sent += connection.meter.sent
            self._received += connection.meter.received
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler({"message": "a connection failed", "exception": error, "task": task})
        if not self._is_accepting and self._datagrams.fileno() >= 0:
            self._accept_again()

    def _allows(self, name: str, port: int) -> bool:
        return self._passage.allowlist.allows(name, port)

    def _spend(self, size: int) -> None:
        if self._bytes_left is None:
            return
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise RefusedError(EgressReason.BYTES_MAX)
