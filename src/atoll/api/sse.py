"""Server-sent events: each leaves as it happens, a quiet stream is kept alive, a client that goes away ends it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Final

import msgspec
from litestar.types import Receive, Scope, Send

from atoll.api.errors import failure_of
from atoll.api.json_text import JsonPieces
from atoll.api.patient_send import send_body
from atoll.api.watch import while_connected
from atoll.api.wire import StreamError

KEEP_ALIVE_S: Final = 15.0
_KEEP_ALIVE: Final = b": keep-alive\n\n"
EVENT_STREAM_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
_EVENTS_AHEAD_MAX: Final = 4
_Queue = asyncio.Queue[msgspec.Struct | Exception | None]


class EventStream:
    """An answer made of events.

    What ``events`` raises before its first event becomes an ordinary error answer, unless the stream had to be
    begun already to keep a waiting client; later errors are told in an ``error`` event. ``events`` is iterated and
    closed in one task of its own, whoever goes first. ``let_go`` is called when nothing of it is held any more.
    """

    def __init__(
        self,
        events: AsyncGenerator[msgspec.Struct, None],
        *,
        let_go: Callable[[], None] = lambda: None,
        keep_alive_s: float = KEEP_ALIVE_S,
    ) -> None:
        self._events = events
        self._let_go = let_go
        self._keep_alive_s = keep_alive_s
        self._sent = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream until its end. Raises ``ClientGoneError``, and what came before anything was sent."""
        try:
            await while_connected(receive, self._run(scope, send))
        finally:
            self._let_go()

    async def _run(self, scope: Scope, send: Send) -> None:
        queue: _Queue = asyncio.Queue(_EVENTS_AHEAD_MAX)
        pump = asyncio.create_task(self._pump(queue))
        try:
            await self._forward(queue, scope, send)
        finally:
            pump.cancel()
            await asyncio.wait((pump,))

    async def _pump(self, queue: _Queue) -> None:
        try:
            async with aclosing(self._events) as events:
                async for event in events:
                    await queue.put(event)
        except Exception as error:  # noqa: BLE001 - handed on to the side that answers
            await queue.put(error)
        else:
            await queue.put(None)

    async def _forward(self, queue: _Queue, scope: Scope, send: Send) -> None:
        started = last = False
        while not last:
            try:
                async with asyncio.timeout(self._keep_alive_s):
                    event = await queue.get()
            except TimeoutError:
                pieces = iter((_KEEP_ALIVE,))
            else:
                last = event is None or isinstance(event, Exception)
                pieces = self._frame(event, scope, started=started)
            if not started:
                await send({"type": "http.response.start", "status": 200, "headers": EVENT_STREAM_HEADERS})
                started = True
            for piece in pieces:
                await send_body(send, piece, more=True)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _frame(self, event: msgspec.Struct | Exception | None, scope: Scope, *, started: bool) -> Iterator[bytes]:
        """Write an event. Raises it when it is an error and nothing was sent yet."""
        if event is None:
            return iter(())
        if isinstance(event, Exception):
            if not started:
                raise event
            event = self._error(event, scope)
        self._sent += 1
        name = str(event.__struct_config__.tag).encode()
        return iter(JsonPieces(event, before=b"event: %b\ndata: " % name, after=b"\n\n"))

    def _error(self, error: Exception, scope: Scope) -> StreamError:
        told = failure_of(error, scope).error
        return StreamError(sequence_number=self._sent, message=told.message, code=told.code, param=told.param)
