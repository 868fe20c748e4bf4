"""A TLS connection that is opened on its way: ended here, looked into, and spoken to the real server anew.

The server comes first: what it chooses of the program's offers is what both sides speak, so that no request has to be
put from one protocol into another.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection

from atoll.egress.http2_relay import Http2Relay
from atoll.egress.http_relay import HttpRelay
from atoll.egress.meter import Meter
from atoll.egress.refusal import RefusedError, refusal_text
from atoll.egress.substitution import Substitution
from atoll.egress.tls_ending import HTTP_1, HTTP_2, StreamWire, TlsEnding
from atoll.egress.wires import Wire
from atoll.model.egress_decision import EgressReason


class OpenedRelay:
    """For requests to ``name`` at ``port``; ``offers`` are the protocols that the program can speak.

    ``note`` is called for each request of a connection that goes nowhere while the connection goes on.
    """

    def __init__(
        self,
        *,
        name: str,
        port: int,
        offers: Collection[str],
        ending: TlsEnding,
        substitution: Substitution,
        dial: Callable[[], Awaitable[socket.socket]],
        meter: Meter,
        turn: asyncio.Lock,
        buffer_bytes: int,
        head_s_max: float,
        note: Callable[[EgressReason], None],
    ) -> None:
        self._name = name
        self._port = port
        self._offers = offers
        self._ending = ending
        self._substitution = substitution
        self._dial = dial
        self._meter = meter
        self._turn = turn
        self._buffer_bytes = buffer_bytes
        self._head_s_max = head_s_max
        self._note = note
        self.has_begun = False
        """Whether the program has been spoken to, so that only TLS itself could tell it something."""

    async def run(self, inside: socket.socket) -> None:
        """Relay until a side has ended; takes the socket over. Raises ``RefusedError``, ``OSError``."""
        try:
            outside, protocol = await self._reach()
        except BaseException:
            inside.close()
            raise
        wires = [] if isinstance(outside, RefusedError) else [outside]
        try:
            self.has_begun = True
            wires.append(met := await self._ending.meet(inside, self._name, protocol, self._head_s_max))
            await self._relay(met, outside, protocol)
        except asyncio.CancelledError:
            for wire in wires:
                wire.abort()
            raise
        finally:
            for wire in wires:
                wire.close()

    async def _reach(self) -> tuple[StreamWire | RefusedError, str]:
        """Give the server, or why there is none, where that can be told in an answer."""
        try:
            return await self._ending.reach(await self._dial(), self._name, self._offers, self._head_s_max)
        except RefusedError as refused:
            if HTTP_1 not in self._offers:
                raise
            return refused, HTTP_1

    async def _relay(self, inside: Wire, outside: Wire | RefusedError, protocol: str) -> None:
        if protocol == HTTP_2 and not isinstance(outside, RefusedError):
            await self._http2(inside, outside).run()
            return
        relay = self._http1(inside, outside)
        try:
            await relay.run()
        except RefusedError as refused:
            await relay.refuse(refusal_text(self._name, refused.reason))
            raise
        if isinstance(outside, RefusedError):
            raise outside

    def _http1(self, inside: Wire, outside: Wire | RefusedError) -> HttpRelay:
        async def dial() -> Wire:
            if isinstance(outside, RefusedError):
                raise outside
            return outside

        return HttpRelay(
            inside,
            name=self._name,
            port=self._port,
            dial=dial,
            meter=self._meter,
            turn=self._turn,
            head_s_max=self._head_s_max,
            change=self._substitution.apply,
        )

    def _http2(self, inside: Wire, outside: Wire) -> Http2Relay:
        def on_refused(reason: EgressReason) -> str:
            self._note(reason)
            return refusal_text(self._name, reason)

        return Http2Relay(
            inside,
            outside,
            name=self._name,
            port=self._port,
            meter=self._meter,
            turn=self._turn,
            buffer_bytes=self._buffer_bytes,
            head_s_max=self._head_s_max,
            fill=self._substitution.fill,
            on_refused=on_refused,
        )
