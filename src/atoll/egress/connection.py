"""One TCP connection of a sandbox, from its first byte to the line about it in the audit log."""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable, Collection
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Literal

from atoll.egress.dialling import Dialler
from atoll.egress.http_relay import HttpRelay
from atoll.egress.meter import Meter
from atoll.egress.opened_relay import OpenedRelay
from atoll.egress.readiness import GoneError, peek
from atoll.egress.refusal import RefusedError, refusal_text
from atoll.egress.relay import relay
from atoll.egress.substitution import Substitution
from atoll.egress.tls_ending import TlsEnding, offers_of
from atoll.egress.tls_hello import HELLO_BYTES_MAX, Hello, HelloError, read_hello
from atoll.egress.wires import SocketWire, Wire
from atoll.model.domain_pattern import host_name
from atoll.model.egress_decision import EgressReason

_log = logging.getLogger(__name__)

_TLS_RECORD: Final = b"\x16"
# RFC 8446 section 6: a fatal alert, "access denied".
_TLS_ALERT: Final = b"\x15\x03\x03\x00\x02\x02\x31"
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: closing is a reset


class Connection:
    """``name`` is ``None`` until it is known; ``allows`` is asked of name and port."""

    def __init__(
        self,
        inside: socket.socket,
        *,
        name_at: Callable[[IPv4Address | IPv6Address], str | None],
        allows: Callable[[str, int], bool],
        dialler: Dialler,
        ending: Callable[[], TlsEnding | None],
        note: Callable[[EgressReason], None],
        meter: Meter,
        turn: asyncio.Lock,
        buffer_bytes: int,
        hello_s_max: float,
        idle_s_max: float,
    ) -> None:
        """``note`` is called for a request that goes nowhere while its connection goes on. ``turn`` is what the
        sandbox's connections take for what keeps everybody waiting; ``buffer_bytes`` is how much may wait for who does
        not read, in the kernel and in HTTP/2's windows.
        """
        self._inside = inside
        self._name_at = name_at
        self._allows = allows
        self._dialler = dialler
        self._ending = ending
        self._note = note
        self._turn = turn
        self._buffer_bytes = buffer_bytes
        self._hello_s_max = hello_s_max
        self._idle_s_max = idle_s_max
        self._speaks_tls = False
        self._is_told = False
        self._cut_for: EgressReason | None = None
        self._task: asyncio.Task[object] | None = None
        self._watching: asyncio.TimerHandle | None = None
        self.meter = meter
        self.name: str | None = None
        self.port = 0
        self.target = ""

    async def run(self) -> EgressReason:
        """Play its whole life; gives what is to be noted of it."""
        self._task = asyncio.current_task()
        self._watch()
        try:
            if self._cut_for is not None:
                return self._cut_for
            await self._serve()
        except RefusedError as refused:
            self._say_refused(refused.reason)
            return refused.reason
        except GoneError:
            return EgressReason.NO_NAME
        except OSError as error:  # one side broke off, which is not for us to judge
            _log.debug("a connection to %s broke off: %s", self.target, error)
        except asyncio.CancelledError:
            if self._cut_for is None:
                raise
            self._reset()
            return self._cut_for
        finally:
            if self._watching is not None:
                self._watching.cancel()
            self._inside.close()
        return EgressReason.ALLOWED

    def cut(self, reason: EgressReason) -> None:
        """End it now."""
        self._cut_for = reason
        if self._task is not None:
            self._task.cancel()

    def _watch(self) -> None:
        """Cut a connection that is silent for too long."""
        loop = asyncio.get_running_loop()
        quiet_s = loop.time() - self.meter.active_at
        if quiet_s >= self._idle_s_max:
            self.cut(EgressReason.TOO_SLOW)
        else:
            self._watching = loop.call_later(self._idle_s_max - quiet_s, self._watch)

    async def _serve(self) -> None:
        address, self.port = _meant(self._inside)
        self.target = str(address)
        name = self._name_at(address)
        if name is None:
            raise RefusedError(EgressReason.BARE_ADDRESS)
        self.name = self.target = name
        if not self._allows(name, self.port):
            raise RefusedError(EgressReason.NAME_NOT_ALLOWED)
        self.meter.count_sent(0)  # whether there is anything left to move
        try:
            async with asyncio.timeout(self._hello_s_max):
                hello = await self._look()
        except TimeoutError:
            raise RefusedError(EgressReason.TOO_SLOW) from None
        if hello is None:
            await self._relay_http(name)
            return
        _check_hello(hello, name)
        ending = self._ending()
        substitution = None if ending is None else ending.substitution_for(name)
        if ending is not None and substitution is not None:
            await self._relay_opened(name, ending, substitution, offers_of(hello.protocols))
            return
        with await self._dial(name) as outside:
            await relay(self._inside, outside, self.meter)

    async def _dial(self, name: str) -> socket.socket:
        return await self._dialler.dial(name, self.port, self._buffer_bytes)

    async def _look(self) -> Hello | None:
        """Give the TLS hello, ``None`` when it is to be HTTP."""
        if self.port == 80:
            return None
        try:
            hello = await peek(self._inside, self._read, HELLO_BYTES_MAX)
        except HelloError:
            raise RefusedError(EgressReason.NOT_TLS) from None
        return hello if isinstance(hello, Hello) else None

    def _read(self, data: bytes) -> Hello | Literal["other"] | None:
        """Give the hello, ``None`` while it is not all there, or that it is none where none is asked for."""
        self._speaks_tls = data[:1] == _TLS_RECORD
        if data and not self._speaks_tls and self.port != 443:
            return "other"
        return read_hello(data)

    async def _relay_http(self, name: str) -> None:
        async def dial() -> Wire:
            return SocketWire(await self._dial(name))

        await self._play_http(
            HttpRelay(
                SocketWire(self._inside),
                name=name,
                port=self.port,
                dial=dial,
                meter=self.meter,
                turn=self._turn,
                head_s_max=self._hello_s_max,
            ),
            name,
        )

    async def _relay_opened(
        self, name: str, ending: TlsEnding, substitution: Substitution, offers: Collection[str]
    ) -> None:
        """End TLS here, put values into the requests, and speak TLS to the real server."""
        opened = OpenedRelay(
            name=name,
            port=self.port,
            offers=offers,
            ending=ending,
            substitution=substitution,
            dial=lambda: self._dial(name),
            meter=self.meter,
            turn=self._turn,
            buffer_bytes=self._buffer_bytes,
            head_s_max=self._hello_s_max,
            note=self._note,
        )
        try:
            await opened.run(self._inside.dup())
        finally:
            self._is_told = opened.has_begun

    async def _play_http(self, http: HttpRelay, name: str) -> None:
        try:
            await http.run()
        except RefusedError as refused:
            await http.refuse(refusal_text(name, refused.reason))
            self._is_told = True
            raise

    def _say_refused(self, reason: EgressReason) -> None:
        """End it so that a program sees at once that it was refused."""
        if self._is_told:
            return
        last_words = _TLS_ALERT if self._speaks_tls else b""
        if self.port == 80:
            text = refusal_text(self.target, reason)
            last_words = f"HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n{text}\n".encode()
        if not last_words:
            self._reset()
            return
        with suppress(OSError):
            self._inside.send(last_words)
            self._inside.shutdown(socket.SHUT_WR)
            self._inside.recv(HELLO_BYTES_MAX)  # unread bytes would turn the end into a reset

    def _reset(self) -> None:
        with suppress(OSError):
            self._inside.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def _check_hello(hello: Hello, name: str) -> None:
    if hello.has_encrypted_hello:
        raise RefusedError(EgressReason.ENCRYPTED_HELLO)
    if hello.server_name is None:
        raise RefusedError(EgressReason.NO_NAME)
    if host_name(hello.server_name) != name:
        raise RefusedError(EgressReason.OTHER_NAME)


def _meant(sock: socket.socket) -> tuple[IPv4Address | IPv6Address, int]:
    """Give the address that a connection was made to."""
    host, port = sock.getsockname()[:2]
    address = ip_address(str(host).partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped, int(port)
    return address, int(port)
