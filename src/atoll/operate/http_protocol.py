"""uvicorn's HTTP protocol with bounds on what a client may send before it is anybody, and on how long it may not read.

The parser keeps every header that comes, however many and however long, and waits for ever for the end of a request's
head: a few connections of strangers, who need no key for it, would take all memory and all descriptors. An answer waits
for ever for a client that does not read it, and what it is made of waits with it.
"""

import struct
from asyncio import AbstractEventLoop, TimerHandle, Transport
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from atoll.api.scope import ABORT

HEAD_BYTES_MAX: Final = 64 * 1024
"""A request's head, give or take what one read of the socket brings; so are the trailers after a body's chunks."""

HEAD_S_MAX: Final = 30.0
"""From the first byte of a head, or from the connection's beginning, to the head's end."""

TAKING_S_MAX: Final = 120.0
"""A client that takes nothing for so long of an answer that waits for it is gone; one that takes a little is slow.

Longer than ``PIECE_S_MAX``, by which answers that are held in memory are given up, and counted as such.
"""

_LOOKS: Final = 8  # in so long a time, at what is taken
_LAST_BYTES_S_MAX: Final = 1.0
_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 35\r\nconnection: close\r\n\r\nThe request's headers are too large"
)


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection."""

    head_s_max = HEAD_S_MAX
    taking_s_max = TAKING_S_MAX

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head_bytes = 0
        self._head_timer: TimerHandle | None = None
        self._taking_timer: TimerHandle | None = None
        self._untaken_before = 0
        self._taken_at = 0.0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        self._forget_taking()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._untaken_before, self._taken_at = self._untaken(), self.loop.time()
        self._await_taking()

    def resume_writing(self) -> None:
        self._forget_taking()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            if not self._is_answering:
                self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: {"now": self.transport.abort}}
        self._head_bytes = 0
        self._await_head()

    def on_headers_complete(self) -> None:
        self._head_bytes = 0
        self._forget_head()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        # What is no body (sizes and extensions of chunks, trailers) counts from here.
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        super().on_message_complete()

    def shutdown(self) -> None:
        super().shutdown()
        self._hurry(was_closing=False)

    def _hurry(self, *, was_closing: bool) -> None:
        """Drop the connection when its last bytes are not taken: the server's end would wait for them."""
        if was_closing:
            self.transport.abort()
        elif self in self.connections:
            self.loop.call_later(_LAST_BYTES_S_MAX, lambda: self._hurry(was_closing=self.transport.is_closing()))

    @property
    def _is_answering(self) -> bool:
        cycle: Any = self.cycle  # ``None`` before the first request, whatever its annotation says
        return cycle is not None and not cycle.response_complete

    def _await_head(self) -> None:
        self._forget_head()
        self._head_timer = self.loop.call_later(self.head_s_max, self._head_is_late)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        if self._is_answering:
            self._await_head()  # of the request after the one that still runs, whose answer is not to be cut off
        elif not self.transport.is_closing():
            self.transport.close()

    def _untaken(self) -> int:
        """Count the bytes that the client has not taken: here, and in the kernel, which may hold megabytes."""
        queued = ioctl(self.transport.get_extra_info("socket").fileno(), TIOCOUTQ, bytes(4))
        (in_kernel,) = struct.unpack("i", queued)
        return int(in_kernel) + self.transport.get_write_buffer_size()

    def _await_taking(self) -> None:
        self._taking_timer = self.loop.call_later(self.taking_s_max / _LOOKS, self._look_at_taking)

    def _forget_taking(self) -> None:
        if self._taking_timer is not None:
            self._taking_timer.cancel()
            self._taking_timer = None

    def _look_at_taking(self) -> None:
        untaken, now = self._untaken(), self.loop.time()
        if untaken < self._untaken_before:
            self._untaken_before, self._taken_at = untaken, now
        if now - self._taken_at < self.taking_s_max:
            self._await_taking()
        else:
            self.transport.abort()
