"""What a store of blobs does: bytes under a name, written once, streamed both ways.

A blob is seen under its name only when all of it is there, and then for good. What a server that died in the middle
left behind is invisible and removed when the store is opened again.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol

from atoll.model.files import ClosableChunks


class BlobsFullError(Exception):
    """The disk under the blobs is full; nothing was kept."""


class Blobs(Protocol):
    """Give it names that are safe as file names: ids. A name is written at most once."""

    async def put(self, name: str, chunks: AsyncIterator[bytes]) -> int:
        """Keep the bytes of ``chunks`` under ``name`` and give their number.

        ``chunks`` is read in the caller's task. Whatever it raises, or a cancellation, comes out unchanged and
        leaves nothing. Raises ``BlobsFullError``.
        """
        ...

    async def open(self, name: str, offset: int, length: int) -> ClosableChunks:
        """Start reading ``length`` bytes, at least one, from ``offset``. Raises ``FileNotFoundError``."""
        ...

    async def delete(self, name: str) -> None:
        """Remove a blob; one that is gone counts as removed."""
        ...

    def names(self) -> AsyncGenerator[str, None]:
        """Give every blob's name, in no order."""
        ...
