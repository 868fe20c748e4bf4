"""A connection as the HTTP relay sees it: a plain socket, or streams with TLS on them."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from atoll.egress.relay import copy

_PIECE_BYTES: Final = 128 * 1024


class Wire(Protocol):
    """A duplex connection. Both methods raise ``OSError`` when it broke."""

    async def read(self) -> bytes:
        """Give what has come, or none at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Take all of ``data``."""
        ...

    def end(self) -> None:
        """Say that nothing more will be written."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


class SocketWire:
    """A connected, non-blocking socket; takes it over."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._loop = asyncio.get_running_loop()

    async def read(self) -> bytes:
        """Give what has come."""
        return await self._loop.sock_recv(self.socket, _PIECE_BYTES)

    async def write(self, data: bytes) -> None:
        """Write all."""
        await self._loop.sock_sendall(self.socket, data)

    def end(self) -> None:
        """Shut down our way."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


async def pass_bytes(source: Wire, target: Wire, size: int, count: Callable[[int], None]) -> None:
    """Pass ``size`` bytes on as fast as can be. Raises ``ConnectionError`` when the source ends before."""
    if isinstance(source, SocketWire) and isinstance(target, SocketWire):
        passed = await copy(source.socket, target.socket, size, count)
    else:
        passed = 0
        while passed < size and (data := await source.read()):
            passed += len(data)
            count(len(data))
            await target.write(data)
    if passed != size:
        raise ConnectionError("a body ended before its end, or after it")
