"""Passes HTTP/1 requests to one name and answers back, looking at every request; h11 does the reading.

Both sides are spoken to in full: what one side calls the end of a request is what the other side is told, so no
request can be hidden in another one's body.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import h11

from atoll.egress.http_rules import check_request, forwarded
from atoll.egress.meter import Meter
from atoll.egress.refusal import RefusedError
from atoll.model.egress_decision import EgressReason

HEAD_BYTES_MAX: Final = 64 * 1024
_PIECE_BYTES: Final = 128 * 1024

Event = h11.Request | h11.InformationalResponse | h11.Response | h11.Data | h11.EndOfMessage | h11.ConnectionClosed
_EVENTS: Final = (
    h11.Request,
    h11.InformationalResponse,
    h11.Response,
    h11.Data,
    h11.EndOfMessage,
    h11.ConnectionClosed,
)


@dataclass(frozen=True, slots=True)
class Streams:
    """A connection's two ways."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class HttpRelay:
    """One connection of a sandbox, which is to carry requests for ``name`` at ``port`` only."""

    def __init__(
        self,
        inside: Streams,
        *,
        name: str,
        port: int,
        dial: Callable[[], Awaitable[Streams]],
        meter: Meter,
        head_s_max: float,
        change: Callable[[h11.Request], h11.Request] = lambda request: request,
    ) -> None:
        """``dial`` connects to the name; ``change`` makes the request that is sent of the one that was allowed.

        ``head_s_max`` is how long the first request may take to say what it is.
        """
        self._inside = _Side(inside, h11.SERVER, meter.count_received)
        self._outside: _Side | None = None
        self._name = name
        self._port = port
        self._dial = dial
        self._head_s_max: float | None = head_s_max
        self._meter = meter
        self._change = change

    async def run(self) -> None:
        """Relay until a side has ended. Raises ``RefusedError``, ``OSError``."""
        try:
            while await self._exchange():
                pass
        except h11.RemoteProtocolError as error:
            raise RefusedError(EgressReason.NOT_HTTP) from error
        finally:
            if self._outside is not None:
                self._outside.streams.writer.close()

    async def refuse(self, message: str) -> None:
        """Tell the sandbox's program why its request goes nowhere, where an answer is still possible."""
        body = f"{message}\n".encode()
        headers = [("content-type", "text/plain"), ("content-length", str(len(body))), ("connection", "close")]
        with suppress(h11.LocalProtocolError, OSError):
            await self._inside.send(h11.Response(status_code=403, headers=headers))
            await self._inside.send(h11.Data(data=body))
            await self._inside.send(h11.EndOfMessage())

    async def _exchange(self) -> bool:
        """Pass one request and its answer; tells whether there may be another."""
        try:
            async with asyncio.timeout(self._head_s_max):
                request = await self._inside.next_event()
        except TimeoutError:
            raise RefusedError(EgressReason.TOO_SLOW) from None
        self._head_s_max = None  # what follows is bounded by the connection's silence
        if isinstance(request, h11.ConnectionClosed):
            return False
        if not isinstance(request, h11.Request):
            raise RefusedError(EgressReason.NOT_HTTP)
        check_request(request, self._name, self._port)
        if self._outside is None:
            self._outside = _Side(await self._dial(), h11.CLIENT, self._meter.count_sent)
        outside = self._outside
        await outside.send(self._change(forwarded(request)))
        body = asyncio.ensure_future(self._pass_body(self._inside, outside))
        try:
            upgraded = await self._pass_answer(outside)
            if upgraded:
                await _settled(body)
                await self._pass_bytes(outside)
                return False
            if not body.done() and outside.connection.our_state is not h11.DONE:
                return False  # answered before the request was all there: the rest leads nowhere
            await body
        finally:
            await _settled(body)
        return _begin_next(self._inside.connection, outside.connection)

    async def _pass_body(self, source: "_Side", target: "_Side") -> None:
        while True:
            event = await source.next_event()
            if isinstance(event, h11.ConnectionClosed):
                raise ConnectionError("hung up in the middle of a request")
            await target.send(event)
            if isinstance(event, h11.EndOfMessage):
                return

    async def _pass_answer(self, outside: "_Side") -> bool:
        """Pass an answer; tells whether it said that another protocol follows."""
        while True:
            event = await outside.next_event()
            if isinstance(event, h11.ConnectionClosed):
                raise ConnectionError("hung up instead of an answer")
            await self._inside.send(event)
            if isinstance(event, h11.InformationalResponse) and event.status_code == 101:
                return True
            if isinstance(event, h11.EndOfMessage):
                return False

    async def _pass_bytes(self, outside: "_Side") -> None:
        """Pass whatever comes, both ways: the WebSocket that both sides agreed on."""
        ways = [
            asyncio.ensure_future(_pour(self._inside, outside)),
            asyncio.ensure_future(_pour(outside, self._inside)),
        ]
        try:
            await asyncio.gather(*ways)
        finally:
            for way in ways:
                await _settled(way)


class _Side:
    """One side's connection: bytes in, events out, and the other way."""

    def __init__(
        self, streams: Streams, role: type[h11.CLIENT] | type[h11.SERVER], count: Callable[[int], None]
    ) -> None:
        self.streams = streams
        self.connection = h11.Connection(role, max_incomplete_event_size=HEAD_BYTES_MAX)
        self._count = count

    async def next_event(self) -> Event:
        while True:
            event = self.connection.next_event()
            if isinstance(event, _EVENTS):
                return event
            if event is h11.PAUSED:
                raise RefusedError(EgressReason.NOT_HTTP)
            self.connection.receive_data(await self.streams.reader.read(_PIECE_BYTES))

    async def send(self, event: Event) -> None:
        for piece in self.connection.send_with_data_passthrough(event) or ():
            await self.write(bytes(piece))

    async def write(self, data: bytes) -> None:
        self._count(len(data))
        self.streams.writer.write(data)
        await self.streams.writer.drain()


async def _pour(source: _Side, target: _Side) -> None:
    early, _ = source.connection.trailing_data
    if early:
        await target.write(early)
    while data := await source.streams.reader.read(_PIECE_BYTES):
        await target.write(data)
    with suppress(OSError):
        target.streams.writer.write_eof()


async def _settled(task: "asyncio.Future[None]") -> None:
    """End a task and look at what became of it."""
    task.cancel()
    with suppress(asyncio.CancelledError, h11.ProtocolError, OSError, RefusedError):
        await task


def _begin_next(*connections: h11.Connection) -> bool:
    for connection in connections:
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return False
    for connection in connections:
        connection.start_next_cycle()
    return True
