"""The contract's ``Stream`` over a connected socket, for every runtime that reaches its agents by one."""

import asyncio
import socket
from contextlib import suppress
from typing import Final

from atoll.runtime.contract import Stream

_READ_BUFFER_BYTES: Final = 256 * 1024


async def stream_from_socket(sock: socket.socket) -> Stream:
    """Take over a connected stream socket (Unix or TCP); it is closed with the stream, or here on failure."""
    sock.setblocking(False)
    try:
        if sock.family == socket.AF_UNIX:
            reader, writer = await asyncio.open_unix_connection(sock=sock, limit=_READ_BUFFER_BYTES)
        else:
            reader, writer = await asyncio.open_connection(sock=sock, limit=_READ_BUFFER_BYTES)
    except BaseException:
        sock.close()
        raise
    # Nothing may wait in this process's buffer: a finished write is in the kernel, so that whoever watches
    # for progress sees the other side's, and hanging up drops nothing that was reported as written.
    writer.transport.set_write_buffer_limits(high=0)
    return SocketStream(reader, writer)


class SocketStream:
    """A duplex stream on asyncio's own buffers: at most twice ``_READ_BUFFER_BYTES`` is read ahead."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, size_max: int) -> bytes:
        """Give 1 to ``size_max`` bytes, or none at the end. Raises ``ConnectionError`` when it broke."""
        try:
            return await self._reader.read(size_max)
        except OSError as error:
            raise _as_connection_error(error) from error

    async def write(self, data: bytes) -> None:
        """Take all of ``data``, waiting while the other side does not read. Raises ``ConnectionError``."""
        if self._writer.is_closing():
            raise ConnectionResetError("the stream is closed")
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise _as_connection_error(error) from error
        if self._writer.is_closing():  # asyncio wakes a waiting writer without an error when we hang up ourselves
            raise ConnectionResetError("the stream was closed while it was written to")

    async def aclose(self) -> None:
        """Hang up at once: what the other side has not taken is dropped. Never raises; may be repeated."""
        self._writer.transport.abort()
        with suppress(OSError):
            await self._writer.wait_closed()


def _as_connection_error(error: OSError) -> ConnectionError:
    return error if isinstance(error, ConnectionError) else ConnectionError(str(error))
