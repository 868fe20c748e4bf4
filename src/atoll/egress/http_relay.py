"""Passes HTTP/1 requests to one name and answers back, looking at every request; h11 does the reading.

Both sides are spoken to in full: what one side calls the end of a request is what the other side is told, so no
request can be hidden in another one's body.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import h11

from atoll.egress.http_rules import check_request, forwarded, is_old
from atoll.egress.meter import Meter
from atoll.egress.refusal import RefusedError
from atoll.egress.wires import Wire, pass_bytes
from atoll.model.egress_decision import EgressReason

HEAD_BYTES_MAX: Final = 64 * 1024
HEAD_LINES_MAX: Final = 1_000
"""Each header costs microseconds and a hundred bytes, however short it is; servers take a hundred or two of them."""

_HEAD_END: Final = re.compile(rb"\n\r?\n")
_BEFORE_HEAD: Final = (h11.IDLE, h11.SEND_RESPONSE)
_LARGE_BYTES: Final = 256 * 1024
_BODILESS: Final = (204, 304)

Event = h11.Request | h11.InformationalResponse | h11.Response | h11.Data | h11.EndOfMessage | h11.ConnectionClosed
_EVENTS: Final = (
    h11.Request,
    h11.InformationalResponse,
    h11.Response,
    h11.Data,
    h11.EndOfMessage,
    h11.ConnectionClosed,
)


class HttpRelay:
    """One connection of a sandbox, which is to carry requests for ``name`` at ``port`` only."""

    def __init__(
        self,
        inside: Wire,
        *,
        name: str,
        port: int,
        dial: Callable[[], Awaitable[Wire]],
        meter: Meter,
        turn: asyncio.Lock,
        head_s_max: float,
        change: Callable[[h11.Request], h11.Request] = lambda request: request,
    ) -> None:
        """``dial`` connects to the name; ``change`` makes the request that is sent of the one that was allowed.

        ``turn`` is taken for each head, by all connections of one sandbox: one takes milliseconds, and a hundred of
        them at once would be others' second. ``head_s_max`` is how long the first request may take to say what it is.
        """
        self._inside = _Side(inside, h11.SERVER, meter.count_received)
        self._outside: _Side | None = None
        self._name = name
        self._port = port
        self._dial = dial
        self._turn = turn
        self._head_s_max: float | None = head_s_max
        self._meter = meter
        self._change = change

    async def run(self) -> None:
        """Relay until a side has ended. Raises ``RefusedError``, ``OSError``."""
        try:
            while await self._exchange():
                pass
        except h11.ProtocolError as error:  # what came, or what could not be said of it to the other side
            raise RefusedError(EgressReason.NOT_HTTP) from error
        finally:
            if self._outside is not None:
                self._outside.wire.close()

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
                request = await self._inside.next_event(self._turn)
        except TimeoutError:
            raise RefusedError(EgressReason.TOO_SLOW) from None
        self._head_s_max = None  # what follows is bounded by the connection's silence
        if isinstance(request, h11.ConnectionClosed):
            return False
        if not isinstance(request, h11.Request):
            raise RefusedError(EgressReason.NOT_HTTP)
        changed = await self._checked(request)
        if self._outside is None:
            self._outside = _Side(await self._dial(), h11.CLIENT, self._meter.count_sent)
        outside = self._outside
        await outside.send(changed)
        body = asyncio.ensure_future(self._pass_body(self._inside, outside))
        try:
            upgraded = await self._pass_answer(request, outside)
            if upgraded:
                await _settled(body)
                await self._pass_bytes(outside)
                return False
            if not body.done() and outside.connection.our_state is not h11.DONE:
                return False  # answered before the request was all there: the rest leads nowhere
            await body
        finally:
            await _settled(body)
        if outside.is_fresh:
            outside.is_fresh = False
            return _begin_next(self._inside.connection)
        return _begin_next(self._inside.connection, outside.connection)

    async def _checked(self, request: h11.Request) -> h11.Request:
        """Give what is sent of a request. Raises ``RefusedError``."""
        async with self._turn:
            check_request(request, self._name, self._port)
            changed = self._change(forwarded(request))
            await asyncio.sleep(0)
        return changed

    async def _pass_body(self, source: "_Side", target: "_Side") -> None:
        while True:
            event = await source.next_event()
            if isinstance(event, h11.ConnectionClosed):
                raise ConnectionError("hung up in the middle of a request")
            await target.send(event)
            if isinstance(event, h11.EndOfMessage):
                return

    async def _pass_answer(self, request: h11.Request, outside: "_Side") -> bool:
        """Pass an answer; tells whether it said that another protocol follows."""
        while True:
            event = await outside.next_event(self._turn)
            if isinstance(event, h11.ConnectionClosed):
                raise ConnectionError("hung up instead of an answer")
            if isinstance(event, h11.InformationalResponse) and is_old(request):
                continue
            await self._inside.send(event)
            if isinstance(event, h11.InformationalResponse) and event.status_code == 101:
                return True
            if isinstance(event, h11.Response) and (size := _large_body_bytes(request.method, event)):
                await self._pass_large_body(outside, size)
                if event.http_version < b"1.1":
                    raise ConnectionError("this was the last answer")
                return False
            if isinstance(event, h11.EndOfMessage):
                return False

    async def _pass_large_body(self, outside: "_Side", size: int) -> None:
        """Pass a body of known size, of which only the size matters: nobody looks at it."""
        early, _ = outside.connection.trailing_data
        if len(early) > size:
            raise ConnectionError("more came than the answer's length")
        await self._inside.write(early)
        await pass_bytes(outside.wire, self._inside.wire, size - len(early), self._meter.count_received)
        self._inside.connection.send_with_data_passthrough(h11.Data(data=_Sized(size)))  # type: ignore[arg-type] # what has a length will do, as it documents
        self._inside.connection.send(h11.EndOfMessage())
        # Its own reading of that answer never ended: another one goes on, if there is anything to go on with.
        outside.connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
        outside.is_fresh = True

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

    def __init__(self, wire: Wire, role: type[h11.CLIENT] | type[h11.SERVER], count: Callable[[int], None]) -> None:
        self.wire = wire
        self.connection = h11.Connection(role, max_incomplete_event_size=HEAD_BYTES_MAX)
        self._count = count
        self.is_fresh = False

    async def next_event(self, turn: asyncio.Lock | None = None) -> Event:
        """Give what comes next; with a ``turn`` where that may be a head."""
        while True:
            event = self.connection.next_event() if turn is None else await self._next_in(turn)
            if isinstance(event, _EVENTS):
                return event
            if event is h11.PAUSED:
                raise RefusedError(EgressReason.NOT_HTTP)
            self.connection.receive_data(await self.wire.read())

    async def _next_in(self, turn: asyncio.Lock) -> object:
        async with turn:
            self._check_head_lines()
            event = self.connection.next_event()
            if isinstance(event, h11.Request | h11.InformationalResponse | h11.Response):
                await asyncio.sleep(0)  # others' turn
        return event

    def _check_head_lines(self) -> None:
        """Raise ``RefusedError`` before too many headers are read."""
        if self.connection.their_state in _BEFORE_HEAD:
            unread, _ = self.connection.trailing_data
            end = _HEAD_END.search(unread)
            if unread.count(b"\n", 0, None if end is None else end.end()) > HEAD_LINES_MAX:
                raise RefusedError(EgressReason.NOT_HTTP)

    async def send(self, event: Event) -> None:
        data = self.connection.send(event)
        if data:
            await self.write(data)

    async def write(self, data: bytes) -> None:
        self._count(len(data))
        await self.wire.write(data)


class _Sized:
    """Stands for bytes that went another way."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size


def _large_body_bytes(method: bytes, response: h11.Response) -> int:
    """Give the size of a body that is worth a way of its own, 0 for all others."""
    headers = dict(response.headers)
    # A length without a body says how long one would be (RFC 9110, section 8.6).
    if method == b"HEAD" or response.status_code in _BODILESS or b"transfer-encoding" in headers:
        return 0
    size = int(headers.get(b"content-length", b"0"))  # h11 has looked at its form
    return size if size >= _LARGE_BYTES else 0


async def _pour(source: _Side, target: _Side) -> None:
    early, _ = source.connection.trailing_data
    if early:
        await target.write(early)
    while data := await source.wire.read():
        await target.write(data)
    target.wire.end()


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
