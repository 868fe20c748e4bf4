"""Reads a tar that a stranger sends, front to back, one header at a time, in bounded memory.

``tarfile`` reads the headers; what it would believe without a look is bounded here: how long a header is, how many come
before a file, and that an archive ends where it says so.
"""

import tarfile
from collections.abc import Iterator
from typing import IO, Final

from atoll.guest.paths import BadArchiveError

# What may stand before one file's content: extended headers, long names, the map of a sparse file.
_HEADERS_BYTES_MAX: Final = 1024 * 1024
_BLOCK: Final = tarfile.BLOCKSIZE
_COMPRESSED: Final = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}


class TarReader:
    """Iterates over headers; ``content`` gives what follows the last one. ``chunks`` is read no further than needed."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._source = _Source(chunks)
        self._tar: tarfile.TarFile | None = None

    def next(self) -> tarfile.TarInfo | None:
        """Give the next header, ``None`` at the end. Raises ``BadArchiveError``."""
        self._source.allow(_HEADERS_BYTES_MAX)
        try:
            if self._tar is None:
                self._tar = tarfile.TarFile(
                    fileobj=self._as_file(), mode="r", encoding="utf-8", errors="surrogateescape"
                )
            member = self._tar.next()
        except BadArchiveError:
            raise
        except (tarfile.TarError, ValueError, OverflowError, ArithmeticError, RecursionError) as error:
            raise BadArchiveError(self._source.what_it_is() or "It is no tar archive, or a broken one.") from error
        self._tar.members = []  # type: ignore[attr-defined]  # undocumented, but else tarfile keeps every header
        if member is None and self._source.last_block.count(0) != _BLOCK:
            raise BadArchiveError(self._source.what_it_is() or "The archive is cut off, or broken in the middle.")
        return member

    def content(self, size: int) -> Iterator[bytes]:
        """Give the bytes of the last header's file, which has ``size``. Raises ``BadArchiveError`` when they end."""
        return self._source.pieces(size)

    def drain(self) -> None:
        """Read what comes behind the archive's end; it counts for nothing."""
        self._source.drain()

    def _as_file(self) -> IO[bytes]:
        return self._source  # type: ignore[return-value]  # tarfile uses read, seek and tell alone


class _Source:
    """The little of a file that ``tarfile`` needs, on chunks that come one after the other."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held = memoryview(b"")
        self._position = 0
        self._again = b""
        self._left = 0
        self._start = b""
        self.last_block = b""

    def allow(self, size: int) -> None:
        """Let so many bytes be read as headers."""
        self._left = size

    def what_it_is(self) -> str | None:
        """Say what it is that is no tar, where that is known."""
        for magic, name in _COMPRESSED.items():
            if self._start.startswith(magic):
                return f"It is no tar archive but a {name} file; send the tar that is in it."
        return None

    def read(self, size: int = -1) -> bytes:
        """Give exactly ``size`` bytes of header, less only at the end."""
        again, self._again = self._again, b""
        if again and size:
            return again  # tarfile asks for this one byte alone
        if not 0 <= size <= self._left:
            raise BadArchiveError("The archive has a header that is too long to be one.")
        self._left -= size
        data = b"".join(bytes(piece) for piece in self._take(size))
        if not self._start:
            self._start = data[:16]
        self.last_block = data[-_BLOCK:]
        return data

    def tell(self) -> int:
        """Give the number of bytes read."""
        return self._position - len(self._again)

    def seek(self, position: int) -> None:
        """Skip to ``position``; the last byte read can be had again, which is how ``tarfile`` looks for the end."""
        if position == self._position - 1:
            self._again = b"\0"  # that there is one is all that matters
            return
        self._again = b""
        if position < self._position:
            raise BadArchiveError("The archive has a header that cannot be.")
        for _ in self.pieces(position - self._position):
            pass

    def pieces(self, size: int) -> Iterator[bytes]:
        """Give the next ``size`` bytes, as they come."""
        for piece in self._take(size):
            size -= len(piece)
            yield bytes(piece)
        if size:
            raise BadArchiveError("The archive is cut off.")

    def drain(self) -> None:
        """Read on to the end."""
        self._held = memoryview(b"")
        for _ in self._chunks:
            pass

    def _take(self, size: int) -> Iterator[memoryview]:
        while size > 0:
            if not self._held:
                chunk = next(self._chunks, None)
                if chunk is None:
                    return
                self._held = memoryview(chunk)
            piece, self._held = self._held[:size], self._held[size:]
            self._position += len(piece)
            size -= len(piece)
            yield piece
