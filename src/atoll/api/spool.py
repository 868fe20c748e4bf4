"""A place for a file whose description may still follow it.

The fields of an upload to ``/v1/files`` come in any order (the Node client sends the file first), but a file can only
be kept once its purpose is known. Small files wait in memory, larger ones in an unnamed file on the data's own disk.
"""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Final

MEMORY_BYTES_MAX: Final = 1024 * 1024
_CHUNK_BYTES: Final = 256 * 1024


class Spool:
    """Takes a file in, then gives it out; ``close`` lets go of it. ``folder`` must exist."""

    def __init__(self, folder: Path) -> None:
        self._file: tempfile.SpooledTemporaryFile[bytes] = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - close() does
            max_size=MEMORY_BYTES_MAX, dir=str(folder)
        )
        self._in_memory = True

    async def fill(self, chunks: AsyncIterator[bytes]) -> None:
        """Take everything in. Raises what ``chunks`` raises, and ``OSError`` when the disk is full."""
        size = 0
        async for chunk in chunks:
            size += len(chunk)
            if size <= MEMORY_BYTES_MAX:
                self._file.write(chunk)
            else:
                self._in_memory = False
                await asyncio.to_thread(self._file.write, chunk)
        self._file.seek(0)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Give everything out, once."""
        while chunk := await self._read():
            yield chunk

    def close(self) -> None:
        """Let go of the bytes; may be repeated."""
        self._file.close()

    async def _read(self) -> bytes:
        if self._in_memory:
            return self._file.read(_CHUNK_BYTES)
        return await asyncio.to_thread(self._file.read, _CHUNK_BYTES)
