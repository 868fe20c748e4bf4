"""Copies of files with holes: only what is written is read, written and counted."""

import errno
import hashlib
import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from atoll.holes import share_blocks, written

_CHUNK_BYTES: Final = 1 << 20
_GRAIN_BYTES: Final = 64 << 10

Advance = Callable[[int], None]
Known = dict[tuple[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Copied:
    """A copy's digest, and what the kernel says of the file that was copied, which may be gone since."""

    digest: str
    status: os.stat_result


def written_bytes(path: Path) -> int:
    """Give how much of a file takes room on its disk."""
    return path.stat().st_blocks * 512


def clone(source: Path, target: Path) -> bool:
    """Make ``target`` share the source's blocks, at once and as of this moment; ``False`` where the disk cannot."""
    with source.open("rb") as reader, _own(target) as writer:
        return share_blocks(reader.fileno(), writer)


def bring_up_to_date(source: Path, target: Path, advance: Advance, known: Known | None = None) -> None:
    """Make ``target``, which need not be there, the same as ``source``; writes only what differs.

    ``known`` is what earlier calls found in both: with it, what did not change since is read from ``source`` alone.
    """
    known = {} if known is None else known
    before = dict(known)  # of a call that does not come to its end, ``known`` has what it came to, and nothing else
    known.clear()
    with source.open("rb") as reader, _own(target) as writer:
        size = os.fstat(reader.fileno()).st_size
        os.ftruncate(writer, size)
        at = 0
        for start, end in written(reader.fileno(), 0, size):
            _zero(writer, at, start)
            for offset in range(start, end, _CHUNK_BYTES):
                chunk = os.pread(reader.fileno(), min(_CHUNK_BYTES, end - offset), offset)
                digest = hashlib.sha256(chunk).digest()
                if before.get((offset, len(chunk))) != digest and chunk != os.pread(writer, len(chunk), offset):
                    os.pwrite(writer, chunk, offset)
                if len(chunk) >= _GRAIN_BYTES:  # of a file that is all holes and crumbs too much would be remembered
                    known[offset, len(chunk)] = digest
                advance(len(chunk))
            at = end
        _zero(writer, at, size)


def copy(source: Path, target: Path, advance: Advance) -> Copied:
    """Copy a file to a new place, to disk. Raises ``OSError`` also for what is no plain file."""
    digest = _Digest()
    with _plain(source) as reader, target.open("xb") as writer:
        os.fchmod(writer.fileno(), 0o600)
        status = os.fstat(reader.fileno())
        size = status.st_size
        os.ftruncate(writer.fileno(), size)
        for offset, chunk in _chunks(reader.fileno(), size):
            digest.take(offset, chunk)
            if chunk.count(0) != len(chunk):
                os.pwrite(writer.fileno(), chunk, offset)
            advance(len(chunk))
        os.fsync(writer.fileno())
    return Copied(digest.text(size), status)


def digest_of(path: Path, advance: Advance) -> str:
    """Give a file's digest: over its size and all pieces of 64 KiB that are not zeros, so that holes do not count."""
    digest = _Digest()
    with path.open("rb") as reader:
        size = os.fstat(reader.fileno()).st_size
        for offset, chunk in _chunks(reader.fileno(), size):
            digest.take(offset, chunk)
            advance(len(chunk))
    return digest.text(size)


class _Digest:
    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def take(self, offset: int, chunk: bytes) -> None:
        for at in range(0, len(chunk), _GRAIN_BYTES):
            grain = chunk[at : at + _GRAIN_BYTES]
            if grain.count(0) != len(grain):
                self._sha256.update(struct.pack("<QQ", offset + at, len(grain)))
                self._sha256.update(grain)

    def text(self, size: int) -> str:
        self._sha256.update(struct.pack("<Q", size))
        return self._sha256.hexdigest()


def _chunks(descriptor: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Give what is written, in pieces that begin at multiples of the grain and are whole ones."""
    done = 0
    for start, end in written(descriptor, 0, size):
        first = max(done, start - start % _GRAIN_BYTES)
        last = min(size, -(-end // _GRAIN_BYTES) * _GRAIN_BYTES)
        for offset in range(first, last, _CHUNK_BYTES):
            yield offset, os.pread(descriptor, min(_CHUNK_BYTES, last - offset), offset)
        done = max(done, last)


def _zero(descriptor: int, start: int, end: int) -> None:
    """Empty what is written between two places."""
    for first, last in written(descriptor, start, end):
        for offset in range(first, last, _CHUNK_BYTES):
            os.pwrite(descriptor, bytes(min(_CHUNK_BYTES, last - offset)), offset)


def _plain(path: Path) -> BinaryIO:
    """Open a file to be read, but no link and nothing that would be waited for: it lies in somebody else's folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "Not a plain file", str(path))
    return os.fdopen(descriptor, "rb")


@contextmanager
def _own(path: Path) -> Iterator[int]:
    """Open a file to read and write, made when it is not there."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
