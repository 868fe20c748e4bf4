"""Copies bytes between two connected sockets, both ways, until both have ended.

Callbacks on readiness and one buffer for the whole process: a piece is read and written on in the same moment, so
nothing waits in memory except what the other side did not take at once.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from atoll.egress.meter import Meter

_PIECE_BYTES: Final = 256 * 1024
_buffer: Final = memoryview(bytearray(_PIECE_BYTES))


async def relay(inside: socket.socket, outside: socket.socket, meter: Meter) -> None:
    """Copy until both sides have ended. Raises ``OSError`` when one broke, and what the meter raises."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    ways = (_Way(inside, outside, meter.count_sent, done), _Way(outside, inside, meter.count_received, done))
    for way in ways:
        way.start(lambda: _settle(done) if all(one.has_ended for one in ways) else None)
    try:
        await done
    finally:
        for way in ways:
            way.stop()


class _Way:
    """One direction."""

    def __init__(
        self, source: socket.socket, target: socket.socket, count: Callable[[int], None], done: "asyncio.Future[None]"
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._source = source
        self._target = target
        self._count = count
        self._done = done
        self._rest = b""
        self._on_end: Callable[[], None] = lambda: None
        self.has_ended = False

    def start(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._loop.add_reader(self._source.fileno(), self._read)

    def stop(self) -> None:
        self._loop.remove_reader(self._source.fileno())
        self._loop.remove_writer(self._target.fileno())

    def _read(self) -> None:
        try:
            size = self._source.recv_into(_buffer)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error)
            return
        if size == 0:
            self._end()
            return
        try:
            self._count(size)
            taken = self._target.send(_buffer[:size])
        except BlockingIOError:
            taken = 0
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits for the relay is told
            self._fail(error)
            return
        if taken < size:
            self._rest = bytes(_buffer[taken:size])
            self._loop.remove_reader(self._source.fileno())
            self._loop.add_writer(self._target.fileno(), self._write)

    def _write(self) -> None:
        try:
            taken = self._target.send(self._rest)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error)
            return
        self._rest = self._rest[taken:]
        if not self._rest:
            self._loop.remove_writer(self._target.fileno())
            self._loop.add_reader(self._source.fileno(), self._read)

    def _end(self) -> None:
        self._loop.remove_reader(self._source.fileno())
        self.has_ended = True
        with suppress(OSError):
            self._target.shutdown(socket.SHUT_WR)
        self._on_end()

    def _fail(self, error: Exception) -> None:
        if not self._done.done():
            self._done.set_exception(error)


def _settle(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_result(None)
