"""Copies bytes between connected sockets, in callbacks on readiness.

Small amounts go through one buffer that the whole process shares: a piece is read and written on in the same moment, so
nothing waits in memory but what the other side did not take at once. A way that moves much is given a pipe, through
which the kernel passes pages on without copying them (splice(2)).
"""

import asyncio
import fcntl
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from atoll.egress.meter import Meter

_PIECE_BYTES: Final = 64 * 1024
_PIPE_BYTES: Final = 1024 * 1024
_PIPE_AFTER_BYTES: Final = 1 << 20
_SPLICE_FLAGS: Final = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
_buffer: Final = memoryview(bytearray(_PIECE_BYTES))


async def relay(inside: socket.socket, outside: socket.socket, meter: Meter) -> None:
    """Copy both ways until both sides have ended. Raises ``OSError`` when one broke, and what the meter raises."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    ways = (_Way(inside, outside, meter.count_sent), _Way(outside, inside, meter.count_received))

    def on_end(way: _Way) -> None:
        with suppress(OSError):
            way.target.shutdown(socket.SHUT_WR)
        if all(one.has_ended for one in ways):
            _settle(done)

    try:
        for way in ways:
            way.start(on_end, lambda error: _settle(done, error))
        await done
    finally:
        for way in ways:
            way.stop()


async def copy(source: socket.socket, target: socket.socket, size: int, count: Callable[[int], None]) -> int:
    """Copy ``size`` bytes one way; gives how many there were before the source ended. Raises as ``relay`` does."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    way = _Way(source, target, count, size)
    try:
        way.start(lambda _: _settle(done), lambda error: _settle(done, error))
        await done
    finally:
        way.stop()
    return way.moved


class _Way:
    """One direction, to the end of the source or for ``size`` bytes."""

    def __init__(
        self, source: socket.socket, target: socket.socket, count: Callable[[int], None], size: int | None = None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._source = source
        self._count = count
        self._size = size
        self._rest = b""
        self._in_pipe = 0
        self._pipe: tuple[int, int] | None = None
        self._pipe_after_bytes = _PIPE_AFTER_BYTES
        self.target = target
        self.moved = 0
        self.has_ended = False

    def start(self, on_end: "Callable[[_Way], None]", on_failure: Callable[[BaseException], None]) -> None:
        self._on_end = on_end
        self._on_failure = on_failure
        self._loop.add_reader(self._source.fileno(), self._guarded, self._read)

    def stop(self) -> None:
        self._loop.remove_reader(self._source.fileno())
        self._loop.remove_writer(self.target.fileno())
        if self._pipe is not None:
            os.close(self._pipe[0])
            os.close(self._pipe[1])
            self._pipe = None

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except BlockingIOError:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits is told
            self._on_failure(error)

    def _read(self) -> None:
        left = _PIPE_BYTES if self._size is None else min(self._size - self.moved, _PIPE_BYTES)
        if self._pipe is None and self.moved >= self._pipe_after_bytes:
            self._pipe = _make_pipe()
            self._pipe_after_bytes = self.moved + _PIPE_AFTER_BYTES
        if self._pipe is not None:
            size = os.splice(self._source.fileno(), self._pipe[1], left, flags=_SPLICE_FLAGS)
            self._in_pipe = size
        else:
            size = self._source.recv_into(_buffer, min(left, _PIECE_BYTES))
        if size == 0:
            self._end()
            return
        self.moved += size
        self._count(size)
        if self._pipe is None:
            self._rest = self._send(_buffer[:size])
        self._write()

    def _write(self) -> None:
        """Write what was read; with some of it left, wait for the target and not for the source."""
        try:
            while self._in_pipe and self._pipe is not None:
                self._in_pipe -= os.splice(self._pipe[0], self.target.fileno(), self._in_pipe, flags=_SPLICE_FLAGS)
            if self._rest:
                self._rest = self._send(self._rest)
        except BlockingIOError:
            pass
        if self._in_pipe or self._rest:
            self._loop.remove_reader(self._source.fileno())
            self._loop.add_writer(self.target.fileno(), self._guarded, self._write_on)
        elif self._size is not None and self.moved >= self._size:
            self._end()

    def _write_on(self) -> None:
        self._write()
        if not self._in_pipe and not self._rest and not self.has_ended:
            self._loop.remove_writer(self.target.fileno())
            self._loop.add_reader(self._source.fileno(), self._guarded, self._read)

    def _send(self, data: bytes | memoryview) -> bytes:
        """Give what was not taken."""
        try:
            taken = self.target.send(data)
        except BlockingIOError:
            taken = 0
        return bytes(data[taken:])

    def _end(self) -> None:
        self._loop.remove_reader(self._source.fileno())
        self._loop.remove_writer(self.target.fileno())
        self.has_ended = True
        self._on_end(self)


def _make_pipe() -> tuple[int, int] | None:
    """Give a pipe; ``None`` when there is none to be had, which only costs speed."""
    try:
        ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    # A user's pipes are bounded together: beyond that they stay as small as they are made, at last a few pages, and
    # copying is quicker than that.
    with suppress(OSError):
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    if fcntl.fcntl(ends[1], fcntl.F_GETPIPE_SZ) < _PIECE_BYTES:
        os.close(ends[0])
        os.close(ends[1])
        return None
    return ends


def _settle(done: "asyncio.Future[None]", error: BaseException | None = None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
