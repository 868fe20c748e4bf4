"""One store of blobs: bytes under a name, written once, streamed both ways.

A blob is seen under its name only when all of it is there; on a local disk it is then also synced. What a server
that died in the middle left behind is invisible and removed when the store is opened again.
"""

import asyncio
import contextlib
import errno
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from atoll.cancellation import finish

_PART_BYTES: Final = 5 * 1024 * 1024
# Two parts on their way and one being filled: what an upload holds in memory at most.
_PARTS_AT_ONCE: Final = 2
_READ_BYTES: Final = 256 * 1024
_BREAK_OFF_TIMEOUT_S: Final = 30.0
_NO_SPACE: Final = re.compile(rf"\(os error ({errno.ENOSPC}|{errno.EDQUOT})\)")
# How obstore names a local blob that is still being written.
_UNFINISHED: Final = "*#[0-9]*"


class BlobsFullError(Exception):
    """The disk under the blobs is full; nothing was kept."""


class _BrokenOffError(Exception):
    """Tells obstore to undo an upload."""


_Handover = asyncio.Queue[bytes | _BrokenOffError | None]


class Blobs:
    """Give it names that are safe as file names: ids. A name is written at most once."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._folder = store.prefix if isinstance(store, LocalStore) else None

    async def put(self, name: str, chunks: AsyncIterator[bytes]) -> int:
        """Keep the bytes of ``chunks`` under ``name`` and give their number.

        ``chunks`` is read in the caller's task. Whatever it raises, or a cancellation, comes out unchanged and
        leaves nothing. Raises ``BlobsFullError``.
        """
        handover: _Handover = asyncio.Queue(maxsize=1)
        upload = asyncio.ensure_future(self._upload(name, handover))
        size = 0
        try:
            async for chunk in chunks:
                if chunk:
                    size += len(chunk)
                    await _give(handover, chunk, upload)
            await _give(handover, None, upload)
            await asyncio.shield(upload)
        except BaseException:
            await finish(self._break_off(name, handover, upload))
            raise
        return size

    async def open(self, name: str, offset: int, length: int) -> AsyncGenerator[bytes, None]:
        """Start reading ``length`` bytes, at least one, from ``offset``. Raises ``FileNotFoundError``."""
        found = await obstore.get_async(self._store, name, options={"range": (offset, offset + length)})
        return _read(found)

    async def delete(self, name: str) -> None:
        """Remove a blob; one that is gone counts as removed."""
        with contextlib.suppress(FileNotFoundError):
            await obstore.delete_async(self._store, name)

    async def names(self) -> AsyncGenerator[str, None]:
        """Give every blob's name, in no order."""
        async for batch in obstore.list(self._store, chunk_size=1000):
            for found in batch:
                yield found["path"]

    async def _upload(self, name: str, handover: _Handover) -> None:
        try:
            await obstore.put_async(
                self._store,
                name,
                _taken(handover),
                use_multipart=True,
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )
            if self._folder is not None:
                await asyncio.to_thread(_sync, Path(self._folder), name)
        except (BaseError, OSError) as error:
            if _NO_SPACE.search(str(error)):
                raise BlobsFullError("the disk that holds uploaded files is full") from error
            raise

    async def _break_off(self, name: str, handover: _Handover, upload: asyncio.Future[None]) -> None:
        # Told through its input and not cancelled: a cancelled upload may still finish in obstore's own thread.
        with contextlib.suppress(asyncio.QueueEmpty):
            handover.get_nowait()
        handover.put_nowait(_BrokenOffError())
        _, late = await asyncio.wait([upload], timeout=_BREAK_OFF_TIMEOUT_S)
        if late:
            upload.cancel()
            await asyncio.wait([upload])
        if upload.cancelled() or upload.exception() is None:
            await self.delete(name)


def open_blobs(url: str) -> Blobs:
    """Open the store at any of obstore's URLs; a local folder is made, readable by its owner only.

    One process at a time: what looks unfinished in a local folder is removed.
    """
    if url.startswith("file://"):
        made = Path(url2pathname(urlsplit(url).path))
        made.mkdir(parents=True, exist_ok=True)
        made.chmod(0o700)
    store = from_url(url)
    if isinstance(store, LocalStore) and store.prefix is not None:
        folder = Path(store.prefix)
        for unfinished in folder.glob(_UNFINISHED):
            unfinished.unlink(missing_ok=True)
    return Blobs(store)


async def _give(handover: _Handover, chunk: bytes | None, upload: asyncio.Future[None]) -> None:
    """Leave a chunk for the upload; raises what the upload ended with when it does not take it any more."""
    giving = asyncio.ensure_future(handover.put(chunk))
    try:
        await asyncio.wait([giving, upload], return_when=asyncio.FIRST_COMPLETED)
    finally:
        giving.cancel()
    if upload.done():
        upload.result()


async def _taken(handover: _Handover) -> AsyncGenerator[bytes, None]:
    while (chunk := await handover.get()) is not None:
        if isinstance(chunk, _BrokenOffError):
            raise chunk
        yield chunk


async def _read(found: "obstore.GetResult") -> AsyncGenerator[bytes, None]:
    async for chunk in found.stream(min_chunk_size=_READ_BYTES):
        yield bytes(chunk)


def _sync(folder: Path, name: str) -> None:
    for path in (folder / name, folder):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
