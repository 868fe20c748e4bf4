"""One connection of the host: frames in, frames out, with bounds on both sides."""

import contextlib
import socket
from collections.abc import Callable
from typing import Any, Final

from atoll.guest.protocol import FrameDecoder, FrameType, ProtocolError, encode_json
from atoll.guest.reactor import HANGUP, READ, WRITE, Reactor

_READ_BYTES: Final = 64 * 1024
_WRITE_BYTES: Final = 256 * 1024
HIGH_WATER_BYTES: Final = 512 * 1024


class Connection:
    """Reads one ``REQUEST``, then only watches for the host to hang up, until the result is out.

    An operation that takes more than its request says so by ``accept_input``.

    The connection ends with its first result, unless ``is_kept`` was set: then the next ``REQUEST`` may come.
    ``on_request`` gets the request's payload. ``on_hangup`` is set by the operation and called at most once, when
    the host goes away before the result is out. ``on_partial`` is called when a request has grown and is not whole
    yet; it may close this connection. ``on_drained`` is called when ``is_congested`` turns false, which an operation
    may have counted from less (``high_water_bytes``).
    """

    def __init__(
        self,
        sock: socket.socket,
        reactor: Reactor,
        on_request: Callable[["Connection", bytes], None],
        on_close: Callable[["Connection"], None],
        on_partial: Callable[[], None],
    ) -> None:
        self.on_hangup: Callable[[], None] | None = None
        self.on_drained: Callable[[], None] | None = None
        self.decoder = FrameDecoder()
        self.is_closed = False
        self.is_kept = False
        self.high_water_bytes = HIGH_WATER_BYTES
        self._sock = sock
        self._fd = sock.fileno()
        self._reactor = reactor
        self._on_request = on_request
        self._on_close = on_close
        self._on_partial = on_partial
        self._requested = False
        self._on_input: Callable[[FrameType, bytes], None] | None = None
        self._takes_input = False
        self._holds_input = False
        self._ended = False
        self._out = bytearray()
        sock.setblocking(False)
        self._watch()

    @property
    def is_congested(self) -> bool:
        """Whether the host is slow to read; producers should wait for ``on_drained``."""
        return len(self._out) >= self.high_water_bytes

    def send(self, frame: bytes) -> None:
        """Queue a frame; it leaves with all others of this turn. After a hang-up or the end it is dropped."""
        if self.is_closed or self._ended:
            return
        was_empty = not self._out
        self._out += frame
        if was_empty:
            self._reactor.call_last(self._write, self._on_error)

    def accept_input(self, on_input: Callable[[FrameType, bytes], None]) -> None:
        """Hand on the frames that follow the request; once the operation is over they are thrown away."""
        self._on_input = on_input
        self._takes_input = True
        self._reactor.call_last(lambda: self._input(b""), self._on_error)  # what came with the request

    def hold_input(self, *, is_held: bool) -> None:
        """Read no more input for now, or again; a hang-up is heard all the same."""
        if is_held != self._holds_input:
            self._holds_input = is_held
            self._watch()

    def finish(self, frame_type: FrameType, value: dict[str, Any]) -> None:
        """Send the last frame of an operation; close once the host has it, unless more may come."""
        try:
            frame = encode_json(frame_type, value)
        except (ProtocolError, UnicodeEncodeError):
            frame_type = FrameType.FAILURE
            frame = encode_json(frame_type, {"code": "internal", "message": "The answer cannot be encoded."})
        self.send(frame)
        self.on_hangup = None
        self.on_drained = None
        self._on_input = None
        self.hold_input(is_held=False)
        if self.is_kept and frame_type is FrameType.RESULT:
            self.is_kept = self._requested = False
            return
        self._ended = True
        if not self._out:
            self._end()

    def fail(self, code: str, message: str, field: str | None = None) -> None:
        """End the operation with a ``FAILURE``; ``field`` of the request is what was wrong."""
        self.finish(FrameType.FAILURE, {"code": code, "message": message} | ({"field": field} if field else {}))

    def close(self) -> None:
        """Let go of the socket; idempotent. An operation that still runs is told that the host hung up."""
        if self.is_closed:
            return
        self.is_closed = True
        self._reactor.watch(self._fd, 0, self._on_events, self._on_error)
        self._sock.close()
        self._out.clear()
        self._on_close(self)
        hangup, self.on_hangup, self.on_drained = self.on_hangup, None, None
        self._on_input = None
        if hangup is not None:
            hangup()

    def detach(self) -> socket.socket:
        """Give the socket to a forked child's blocking code; the parent must close this connection and not use it."""
        self._sock.setblocking(True)
        return self._sock

    def _watch(self) -> None:
        if not self.is_closed:
            reading = HANGUP if self._holds_input else READ
            self._reactor.watch(self._fd, reading | (WRITE if self._out else 0), self._on_events, self._on_error)

    def _on_error(self, _error: BaseException) -> None:
        self.close()

    def _on_events(self, events: int) -> None:
        if events & WRITE:
            self._write()
        if events & READ and not self.is_closed:
            self._read()
        if events & HANGUP:
            self.close()

    def _read(self) -> None:
        try:
            data = self._sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or (self._requested and not self._takes_input):
            self.close()  # gone, or talking out of turn: either way it wants nothing more from us
            return
        if self._requested:
            self._input(data)
            return
        try:
            self._take(data)
        except ProtocolError as error:
            self.fail("bad_request", str(error))

    def _input(self, data: bytes) -> None:
        """Hand on what the data completes. Whoever breaks the protocol here is hung up on."""
        try:
            for frame_type, payload in self.decoder.feed(data):
                if self._on_input is not None:
                    self._on_input(frame_type, payload)
        except ProtocolError:
            self.close()

    def _take(self, data: bytes) -> None:
        for frame_type, payload in self.decoder.feed(data):
            self._requested = True
            if frame_type is not FrameType.REQUEST:
                raise ProtocolError("a connection starts with a REQUEST frame")
            self._on_request(self, payload)
            return  # what follows (an upload's data) stays in the decoder for whom it belongs to
        self._on_partial()

    def _end(self) -> None:
        """All is said. Where input may still be on its way, the host has to hang up first: closing would reset it."""
        if not self._takes_input:
            self.close()
            return
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
        self._watch()

    def _write(self) -> None:
        if self.is_closed:
            return
        was_congested = self.is_congested
        with contextlib.suppress(BlockingIOError):
            try:
                sent = self._sock.send(memoryview(self._out)[:_WRITE_BYTES])
            except BlockingIOError:
                raise
            except OSError:
                self.close()
                return
            del self._out[:sent]
        if self._ended and not self._out:
            self._end()
            return
        self._watch()
        if was_congested and not self.is_congested and self.on_drained is not None:
            self.on_drained()
