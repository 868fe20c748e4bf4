"""Blobs in somebody's object store (S3 and the like), by way of obstore."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

import obstore
from obstore.store import ObjectStore

from atoll.cancellation import finish

_PART_BYTES: Final = 5 * 1024 * 1024
# Two parts on their way and one being filled: what an upload holds in memory at most.
_PARTS_AT_ONCE: Final = 2
_READ_BYTES: Final = 256 * 1024
_BREAK_OFF_TIMEOUT_S: Final = 30.0


class _BrokenOffError(Exception):
    """Tells obstore to undo an upload."""


_Handover = asyncio.Queue[bytes | _BrokenOffError | None]


class BucketBlobs:
    """What ``atoll.blobs.blobs`` promises, in one bucket, below one prefix."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def put(self, name: str, chunks: AsyncIterator[bytes]) -> int:
        """Keep the bytes of ``chunks`` under ``name`` and give their number."""
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
        await obstore.put_async(
            self._store,
            name,
            _taken(handover),
            use_multipart=True,
            chunk_size=_PART_BYTES,
            max_concurrency=_PARTS_AT_ONCE,
        )

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
