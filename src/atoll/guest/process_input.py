"""What the host sends for a program to read: into its pipe as it reads, and no more of it held than a little."""

import os
from collections import deque
from typing import Final

from atoll.guest.connection import Connection
from atoll.guest.protocol import FrameType, ProtocolError
from atoll.guest.reactor import WRITE, ErrorHandler, Reactor

_HELD_BYTES_MAX: Final = 256 * 1024
_WRITE_BYTES: Final = 64 * 1024
_TURN_WRITES: Final = 8


class ProcessInput:
    """The write end of one program's standard input. A program that stops reading is no error: the rest is dropped."""

    def __init__(self, connection: Connection, reactor: Reactor, on_error: ErrorHandler) -> None:
        self._connection = connection
        self._reactor = reactor
        self._on_error = on_error
        self._fd: int | None = None
        self._held: deque[memoryview] = deque()
        self._held_bytes = 0
        self._has_ended = False
        self._is_closed = False
        connection.accept_input(self._take)

    def open(self) -> int:
        """Make the pipe; give the end that the program reads."""
        theirs, self._fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._fd, False)
        return theirs

    def give_up(self) -> None:
        """Take the pipe back: the program was not started, and may be another time."""
        fd, self._fd = self._fd, None
        if fd is not None:
            self._reactor.watch(fd, 0, self._on_writable, self._on_error)
            os.close(fd)

    def begin(self) -> None:
        """Write what has come; the program runs."""
        self._write()

    def close(self) -> None:
        """The program reads no more. May be repeated."""
        self._is_closed = True
        self._held.clear()
        self._held_bytes = 0
        self.give_up()
        self._connection.hold_input(is_held=False)

    def _take(self, frame_type: FrameType, payload: bytes) -> None:
        if self._has_ended or frame_type not in (FrameType.DATA, FrameType.END):
            raise ProtocolError(f"a {frame_type.name} frame makes no sense in a program's input")
        if frame_type is FrameType.END:
            self._has_ended = True
        elif not self._is_closed:
            self._held.append(memoryview(payload))
            self._held_bytes += len(payload)
            self._connection.hold_input(is_held=self._held_bytes > _HELD_BYTES_MAX)
        self._write()

    def _on_writable(self, _events: int) -> None:
        self._write()

    def _write(self) -> None:
        if self._fd is None:
            return
        try:
            for _ in range(_TURN_WRITES):
                if not self._held:
                    break
                self._write_some(self._fd)
        except BlockingIOError:
            pass
        except OSError:
            self.close()  # nobody reads it any more
            return
        if not self._held and self._has_ended:
            self.close()
            return
        self._reactor.watch(self._fd, WRITE if self._held else 0, self._on_writable, self._on_error)
        self._connection.hold_input(is_held=self._held_bytes > _HELD_BYTES_MAX)

    def _write_some(self, fd: int) -> None:
        piece = self._held.popleft()
        try:
            written = os.write(fd, piece[:_WRITE_BYTES])
        except OSError:
            self._held.appendleft(piece)
            raise
        self._held_bytes -= written
        if written < len(piece):
            self._held.appendleft(piece[written:])
