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
    """Reads and writes go straight to the kernel: what ``write`` took is in the socket, nothing is read ahead."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._operations = 0
        self._closed = False

    async def read(self, size_max: int) -> bytes:
        """Give 1 to ``size_max`` bytes, or none at the end. Raises ``ConnectionError`` when it broke."""
        if self._closed:
            return b""
        with self._operation():
            return await asyncio.get_running_loop().sock_recv(self._socket, size_max)

    async def write(self, data: bytes) -> None:
        """Take all of ``data``, waiting while the other side does not read. Raises ``ConnectionError``."""
        if self._closed:
            raise ConnectionResetError("the stream is closed")
        with self._operation():
            await asyncio.get_running_loop().sock_sendall(self._socket, data)

    def is_quiet(self) -> bool:
        """Tell whether the connection stands and nothing has come that was not read, without waiting."""
        if self._closed:
            return False
        try:
            self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False  # something came, or the end did

    async def aclose(self) -> None:
        """Hang up at once and wake whoever waits in a read or a write. Never raises; may be repeated."""
        if self._closed:
            return
        self._closed = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._release()

    @contextmanager
    def _operation(self) -> Iterator[None]:
        self._operations += 1
        try:
            yield
        except OSError as error:
            if isinstance(error, ConnectionError):
                raise
            raise ConnectionError(str(error)) from error
        finally:
            self._operations -= 1
            if self._closed:
                self._release()

    def _release(self) -> None:
        # A descriptor that the event loop still watches must not be closed: its number may be another's by the
        # time the loop looks at it again. The last operation to end closes it; the shutdown has woken them all.
        if self._operations == 0:
            self._socket.close()
