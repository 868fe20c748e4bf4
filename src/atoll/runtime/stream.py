"""The contract's ``Stream`` over a connected socket, for every runtime that reaches its agents by one.

asyncio's own transports are not used: when a write fails they throw away what the other side said before it hung
up, and that is where an agent says why it refused.
"""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from atoll.runtime.contract import Stream

# As much as the kernel lets be on its way: with less, the two sides of an upload take turns instead of working at once.
_SEND_BUFFER_BYTES: Final = 1024 * 1024


async def stream_from_socket(sock: socket.socket) -> Stream:
    """Take over a connected stream socket (Unix or TCP); it is closed with the stream.

    Raises ``ValueError``, and closes the socket, when it is of another kind.
    """
    if sock.type != socket.SOCK_STREAM:
        sock.close()
        raise ValueError("a stream needs a stream socket")
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    return SocketStream(sock)


class SocketStream:
    """Reads and writes go straight to the kernel: what ``write`` took is in the socket, nothing is read ahead.

    Belongs to the event loop that made it, which goes on watching the socket from one read to the next: to begin and
    end that takes the loop far longer than the read itself.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._reader: asyncio.Future[None] | None = None
        self._is_watched = False
        self._writes = 0
        self._closed = False

    async def read(self, size_max: int) -> bytes:
        """Give 1 to ``size_max`` bytes, or none at the end. Raises ``ConnectionError`` when it broke.

        One at a time.
        """
        data = self._receive(size_max)
        if data:
            await asyncio.sleep(0)  # whoever always finds something must let others have their turn
            return data
        while data is None:
            await self._readable()
            data = self._receive(size_max)
        return data

    async def write(self, data: bytes) -> None:
        """Take all of ``data``, waiting while the other side does not read. Raises ``ConnectionError``."""
        if self._closed:
            raise ConnectionResetError("the stream is closed")
        self._writes += 1
        try:
            with _as_connection_error():
                await self._loop.sock_sendall(self._socket, data)
        finally:
            self._writes -= 1
            self._release()

    def is_quiet(self) -> bool:
        """Tell whether the connection stands and nothing has come that was not read, without waiting."""
        if self._closed:
            return False
        try:
            return _receive(self._socket, 1, socket.MSG_PEEK) is None
        except OSError:
            return False

    async def aclose(self) -> None:
        """Hang up at once and wake whoever waits in a read or a write. Never raises; may be repeated."""
        if self._closed:
            return
        self._closed = True
        self._unwatch()
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._release()

    def _receive(self, size_max: int) -> bytes | None:
        if self._closed:
            return b""
        with _as_connection_error():
            return _receive(self._socket, size_max)

    async def _readable(self) -> None:
        self._reader = self._loop.create_future()
        if not self._is_watched:
            self._loop.add_reader(self._socket, self._on_readable)
            self._is_watched = True
        try:
            await self._reader
        finally:
            self._reader = None

    def _on_readable(self) -> None:
        if self._reader is None or self._reader.done():
            self._unwatch()  # or it would be told again and again
        else:
            self._reader.set_result(None)

    def _unwatch(self) -> None:
        if self._is_watched:
            self._loop.remove_reader(self._socket)
            self._is_watched = False

    def _release(self) -> None:
        # A descriptor that the event loop still watches must not be closed: its number may be another's by the
        # time the loop looks at it again. The last write to end closes it; the shutdown has woken them all.
        if self._closed and self._writes == 0:
            self._socket.close()


def _receive(sock: socket.socket, size_max: int, flags: int = 0) -> bytes | None:
    """Give what has come, nothing at the end, ``None`` while there is neither. Raises ``OSError``."""
    try:
        return sock.recv(size_max, flags)
    except BlockingIOError:
        return None


@contextmanager
def _as_connection_error() -> Iterator[None]:
    try:
        yield
    except ConnectionError:
        raise
    except OSError as error:
        raise ConnectionError(str(error)) from error
