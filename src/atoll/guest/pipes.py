"""Reads pipes that people's processes write to, and keeps those nobody reads any more from filling up."""

import contextlib
import fcntl
import os
import struct
import termios
from collections import deque
from typing import Final

from atoll.guest.reactor import READ, Reactor, log

READ_BYTES: Final = 64 * 1024

# A program that writes character by character would otherwise become one frame, and one event, for each of them.
SMALL_READ_BYTES: Final = 4096
SMALL_PAUSE_S: Final = 0.003
_PIPE_BYTES: Final = 256 * 1024
_DRAINS_MAX: Final = 64
_DRAIN_PAUSE_S: Final = 0.1


def make_pipe() -> tuple[int, int]:
    """Give a non-blocking read end and a write end; larger than usual where that is allowed."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(read_end, False)
    with contextlib.suppress(OSError):
        fcntl.fcntl(read_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return read_end, write_end


def pending(fd: int) -> int:
    """Give how many bytes wait in the pipe."""
    return int(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"))[0])


def read(fd: int, bytes_max: int) -> bytes | None:
    """Read what is there; ``None`` when nothing is, ``b""`` at the end."""
    try:
        return os.read(fd, bytes_max)
    except BlockingIOError:
        return None


class Drains:
    """Pipes of background processes whose command is over: read and thrown away, so that they can go on writing.

    Each is read at most every tenth of a second: a background ``yes`` must not eat the agent's time. Past the limit
    the oldest is closed, and its writer gets SIGPIPE.
    """

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._fds: deque[int] = deque()

    def add(self, fd: int) -> None:
        """Take the read end of a pipe over."""
        self._fds.append(fd)
        if len(self._fds) > _DRAINS_MAX:
            self._close(self._fds[0])
        self._watch(fd)

    def _watch(self, fd: int) -> None:
        if fd in self._fds:
            self._reactor.watch(fd, READ, lambda _events: self._drain(fd), log)

    def _drain(self, fd: int) -> None:
        if read(fd, _PIPE_BYTES) == b"":
            self._close(fd)
            return
        self._reactor.watch(fd, 0, lambda _events: None, log)
        self._reactor.call_later(_DRAIN_PAUSE_S, lambda: self._watch(fd), log)

    def _close(self, fd: int) -> None:
        self._reactor.watch(fd, 0, lambda _events: None, log)
        self._fds.remove(fd)
        os.close(fd)
