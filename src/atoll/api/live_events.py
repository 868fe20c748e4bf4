"""A container's events as an endless answer, in bounded memory however its client reads.

What waits for a client is a place in the ring of events and at most one batch beside what the connection buffers. A
client that takes nothing for a minute counts as gone; the end of the server waits for nobody.
"""

import asyncio
import time
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final

from litestar.types import Receive, Scope, Send

from atoll.api.container_events import EventFrames
from atoll.api.errors import ClientGoneError
from atoll.api.metrics import EventStreamCount
from atoll.api.patient_send import PIECE_S_MAX
from atoll.api.scope import is_head
from atoll.api.sse import EVENT_STREAM_HEADERS, KEEP_ALIVE_S
from atoll.api.watch import while_connected
from atoll.service.events import EventReader

# Without an empty line, as the first ``id`` in ``EventFrames.place``.
_KEEP_ALIVE: Final = b": still here\n"
_LAST_S_MAX: Final = 1.0


class LiveEvents:
    """``reading`` gives the reader; what it raises becomes an ordinary error answer."""

    def __init__(
        self,
        reading: AbstractAsyncContextManager[EventReader],
        container_id: str,
        boot: str,
        count: EventStreamCount,
        *,
        keep_alive_s: float = KEEP_ALIVE_S,
        piece_s_max: float = PIECE_S_MAX,
    ) -> None:
        self._reading = reading
        self._frames = EventFrames(container_id, boot, time.time)
        self._count = count
        self._keep_alive_s = keep_alive_s
        self._piece_s_max = piece_s_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the container or the server ends, or the client goes."""
        async with self._reading as reader:
            with self._count:
                await while_connected(receive, self._run(scope, send, reader))

    async def _run(self, scope: Scope, send: Send, reader: EventReader) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": EVENT_STREAM_HEADERS})
        is_last = is_head(scope)
        if not is_last:
            await self._send(send, reader, self._frames.place(reader.place))
        while not is_last:
            told = await reader.next(self._keep_alive_s)
            if told is None:
                await self._send(send, reader, _KEEP_ALIVE)
                continue
            is_last = told.is_last
            if told.missed is not None:
                self._count.missed(told.missed.count)
            if data := self._frames.batch(told):
                await self._send(send, reader, data)
        await self._send(send, reader, b"", within_s=_LAST_S_MAX)
        self._count.ended = "over"

    async def _send(self, send: Send, reader: EventReader, data: bytes, *, within_s: float | None = None) -> None:
        """Send a piece, nothing for the end. Raises ``ClientGoneError`` when the client does not take it."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._piece_s_max if within_s is None else within_s) as bound:
                reader.on_close = lambda: _hurry(bound, loop.time() + _LAST_S_MAX)
                await send({"type": "http.response.body", "body": data, "more_body": bool(data)})
        except TimeoutError:
            self._count.ended = "slow"
            raise ClientGoneError from None
        finally:
            reader.on_close = _nothing


def _hurry(bound: asyncio.Timeout, at: float) -> None:
    with suppress(RuntimeError):  # its time was up a moment ago, so it ends anyway
        bound.reschedule(at)


def _nothing() -> None:
    """Do nothing."""
