"""Writing a file or folder of this machine as a tar, piece by piece, without ever holding it."""

import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from atoll.cli.failure import fail

_PIECE_BYTES: Final = 256 * 1024
_END: Final = bytes(tarfile.BLOCKSIZE * 2)


def size_of(source: Path) -> int:
    """Add up the sizes of the files that ``pack`` would read. Raises ``OSError``."""
    if not source.is_dir():
        return source.stat().st_size
    return sum(status.st_size for _, _, status in _walk(source, "") if stat.S_ISREG(status.st_mode))


def pack(source: Path, name: str, *, skipped: Callable[[Path], object]) -> Iterator[bytes]:
    """Give a tar with a file as ``name``, or with what is in a folder, whose names are relative to it.

    Owners are left out; links are kept as links. What is neither file, folder nor link is told to ``skipped``. A file
    that becomes shorter meanwhile ends the command: a tar cannot say so. Raises ``OSError``.
    """
    entries = _walk(source, "") if source.is_dir() else iter([(source, name, source.stat())])
    for path, entry_name, status in entries:
        info = tarfile.TarInfo(entry_name)
        info.mode = stat.S_IMODE(status.st_mode)
        info.mtime = max(0, int(status.st_mtime))
        if stat.S_ISDIR(status.st_mode):
            info.type = tarfile.DIRTYPE
            yield _header(info)
        elif stat.S_ISLNK(status.st_mode):
            info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
            yield _header(info)
        elif stat.S_ISREG(status.st_mode):
            yield from _file(info, path)
        else:
            skipped(path)
    yield _END


def _walk(folder: Path, prefix: str) -> Iterator[tuple[Path, str, os.stat_result]]:
    """Give everything below a folder, each folder before what is in it, in the order of names."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        name = prefix + entry.name
        yield Path(entry.path), name, entry.stat(follow_symlinks=False)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), f"{name}/")


def _file(info: tarfile.TarInfo, path: Path) -> Iterator[bytes]:
    with path.open("rb") as content:
        left = info.size = os.fstat(content.fileno()).st_size
        yield _header(info)
        while left:
            piece = content.read(min(left, _PIECE_BYTES))
            if not piece:
                fail(f"{path} became shorter while it was read; nothing was copied.")
            left -= len(piece)
            yield piece
    yield bytes(-info.size % tarfile.BLOCKSIZE)


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
