"""Blobs in a local folder: a file each, synced before it gets its name.

No byte makes the event loop wait for the disk: threads write them, and read those that are not in the page cache.
"""

import asyncio
import errno
import itertools
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from atoll.blobs.blobs import BlobsFullError
from atoll.cancellation import finish

_BATCH_BYTES: Final = 1024 * 1024
_READ_BYTES: Final = 256 * 1024
# How many bytes may wait to be written out. Left to itself the kernel begins late, and the last wait is for all of it.
_UNWRITTEN_BYTES_MAX: Final = 8 * 1024 * 1024
_NAMES_AT_ONCE: Final = 1000
_UNFINISHED_SUFFIX: Final = "#1"
_UNFINISHED: Final = "*#[0-9]*"


def open_folder(folder: Path) -> "FolderBlobs":
    """Make the folder when need be, readable by its owner only, and remove what is unfinished in it.

    One process at a time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for unfinished in folder.glob(_UNFINISHED):
        unfinished.unlink(missing_ok=True)
    return FolderBlobs(folder)


class FolderBlobs:
    """What ``atoll.blobs.blobs`` promises, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, name: str, chunks: AsyncIterator[bytes]) -> int:
        """Keep the bytes of ``chunks`` under ``name`` and give their number."""
        draft = _Draft(self._folder, name)
        try:
            async for chunk in chunks:
                await draft.write(chunk)
            await draft.publish()
        except BaseException:
            await finish(draft.discard())
            raise
        draft.close()
        return draft.size

    async def open(self, name: str, offset: int, length: int) -> "_Content":
        """Start reading ``length`` bytes, at least one, from ``offset``. Raises ``FileNotFoundError``."""
        return _Content(os.open(self._folder / name, os.O_RDONLY | os.O_CLOEXEC), offset, length)

    async def delete(self, name: str) -> None:
        """Remove a blob; one that is gone counts as removed."""
        await finish(asyncio.to_thread((self._folder / name).unlink, missing_ok=True))

    async def names(self) -> AsyncGenerator[str, None]:
        """Give every blob's name, in no order."""
        with os.scandir(self._folder) as entries:
            while batch := await finish(asyncio.to_thread(_next_names, entries)):
                for name in batch:
                    if "#" not in name:
                        yield name


class _Draft:
    """A blob on its way to the disk: one batch of bytes is written while the next is collected."""

    def __init__(self, folder: Path, name: str) -> None:
        self.size = 0
        self._folder = folder
        self._path = folder / name
        self._unfinished = folder / (name + _UNFINISHED_SUFFIX)
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self._writing: asyncio.Future[None] | None = None
        self._begun = 0
        self._written = 0
        with _full_told():
            self._file = os.open(self._unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    async def write(self, chunk: bytes) -> None:
        """Take bytes. Raises ``BlobsFullError`` and ``OSError``, for earlier ones too."""
        self._batch.append(chunk)
        self._batch_bytes += len(chunk)
        self.size += len(chunk)
        if self._batch_bytes >= _BATCH_BYTES:
            await self._send_off()

    async def publish(self) -> None:
        """Write what is left, and show it all under its name. Raises ``BlobsFullError``, ``OSError``."""
        await self._send_off()
        await self._settle()
        self._writing = asyncio.ensure_future(asyncio.to_thread(self._show))
        await self._settle()

    async def discard(self) -> None:
        """Leave nothing, wherever the writing was."""
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)
        await asyncio.to_thread(self._remove)
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    async def _send_off(self) -> None:
        await self._settle()
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        self._writing = asyncio.ensure_future(asyncio.to_thread(self._write, batch))

    async def _settle(self) -> None:
        # Shielded: nobody may close the file while a thread writes to it. A cancelled put comes to ``discard``.
        if self._writing is not None:
            await asyncio.shield(self._writing)

    def _write(self, batch: list[bytes]) -> None:
        left = memoryview(b"".join(batch))
        while left:
            with _full_told():
                size = os.write(self._file, left)
            self._written += size
            left = left[size:]
        if self._written - self._begun >= _UNWRITTEN_BYTES_MAX:
            os.posix_fadvise(self._file, self._begun, self._written - self._begun, os.POSIX_FADV_DONTNEED)
            self._begun = self._written

    def _show(self) -> None:
        with _full_told():  # where room is only looked for when bytes are written out
            os.fsync(self._file)
        self._unfinished.rename(self._path)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _remove(self) -> None:
        for path in (self._unfinished, self._path):
            path.unlink(missing_ok=True)


class _Content:
    """Bytes of a blob on their way out."""

    def __init__(self, file: int, offset: int, length: int) -> None:
        self._file = file
        self._position = offset
        self._end = offset + length
        self._buffer = memoryview(bytearray(min(_READ_BYTES, length)))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._position >= self._end or self._file < 0:
            await self.aclose()
            raise StopAsyncIteration
        size = await self._read(self._buffer[: self._end - self._position])
        if not size:
            raise EOFError("a blob is shorter than it was when it was kept")
        self._position += size
        return bytes(self._buffer[:size])

    async def aclose(self) -> None:
        """Let go of the file. May be repeated."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    async def _read(self, into: memoryview) -> int:
        try:
            return os.preadv(self._file, [into], self._position, os.RWF_NOWAIT)
        except OSError:
            # Not in the page cache, or a file system that cannot tell.
            return await finish(asyncio.to_thread(os.preadv, self._file, [into], self._position))


@contextmanager
def _full_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BlobsFullError("the disk that holds uploaded files is full") from error
        raise


def _next_names(entries: Iterator[os.DirEntry[str]]) -> list[str]:
    return [entry.name for entry in itertools.islice(entries, _NAMES_AT_ONCE)]
