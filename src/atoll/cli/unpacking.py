"""Unpacking a tar that comes out of a container: whatever is in it, nothing outside of one folder is touched.

It is unpacked into a new folder beside its place, which nobody else writes into, and moves there when all of it has
come. Links are made last, and none where it could lead out of the folder, so that no entry can go through one.
"""

import contextlib
import os
import secrets
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Final

from atoll.cli.failure import fail
from atoll.cli.terminal import harmless

_PIECE_BYTES: Final = 256 * 1024
# What may stand before one file's content: else a header alone could fill this machine's memory.
_HEADERS_BYTES_MAX: Final = 1024 * 1024
# Folders are made, and removed, by functions that call themselves.
_DEPTH_MAX: Final = 256

Parts = tuple[str, ...]


class BadTarError(Exception):
    """An archive that is not taken; the message says why."""


def unpack(chunks: Iterator[bytes], destination: Path, advance: Callable[[int], object]) -> int:
    """Unpack into a folder; gives how many files and links came. Nothing is there before all of it is.

    A folder that is there already is joined, its files of the same names are replaced. ``advance`` hears of each
    piece's size. A bad archive, or one that cannot be written, ends the command with a message.
    """
    staging = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}.part")
    try:
        staging.mkdir()
        count = _unpack(_Source(chunks, advance), staging)
        if destination.is_dir():
            _join(staging, destination)
        else:
            staging.rename(destination)
    except (BadTarError, tarfile.TarError, ValueError, OverflowError) as error:
        fail(f"What came cannot be unpacked: {harmless(str(error)).rstrip('.')}.")
    except RecursionError:  # tarfile calls itself for a header of a header
        fail("What came cannot be unpacked: headers in it are nested too deep.")
    except OSError as error:
        fail(f"{error.filename2 or error.filename or destination} cannot be written: {error.strerror}.")
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return count


class _Source:
    """The file that ``tarfile`` reads from; refuses to give it more than was allowed."""

    def __init__(self, chunks: Iterator[bytes], advance: Callable[[int], object]) -> None:
        self._chunks = chunks
        self._advance = advance
        self._held = memoryview(b"")
        self._position = 0
        self._allowed = 0

    def allow(self, size: int) -> None:
        self._allowed = size

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> int:
        """Skip ahead, as ``tarfile`` does over what was not read; there is no way back."""
        while self._position < position and self.read(min(position - self._position, _PIECE_BYTES)):
            pass
        return self._position

    def read(self, size: int) -> bytes:
        if size > self._allowed:
            raise BadTarError("a header in it is too long")
        out = bytearray()
        while len(out) < size:
            if not self._held:
                self._held = memoryview(next(self._chunks, b""))
                if not self._held:
                    break
                self._advance(len(self._held))
            piece = self._held[: size - len(out)]
            self._held = self._held[len(piece) :]
            out += piece
        self._allowed -= len(out)
        self._position += len(out)
        return bytes(out)

    def as_file(self) -> IO[bytes]:
        return self  # type: ignore[return-value]  # tarfile uses read, seek and tell alone


def _unpack(source: _Source, root: Path) -> int:
    count = 0
    links: list[tuple[Parts, str]] = []
    source.allow(_HEADERS_BYTES_MAX)
    tar = tarfile.TarFile(fileobj=source.as_file(), mode="r", encoding="utf-8", errors="surrogateescape")
    while (member := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # undocumented, but else tarfile keeps every header
        parts = _parts(member.name)
        if member.isdir():
            root.joinpath(*parts).mkdir(parents=True, exist_ok=True)
        elif member.isreg() and not member.issparse() and parts:
            count += 1
            _write_file(source, member, root.joinpath(*parts))
        elif member.issym() and parts:
            count += 1
            links.append((parts, member.linkname))
        else:
            raise BadTarError(f"{member.name} is no file, folder or symbolic link")
        source.allow(_HEADERS_BYTES_MAX)
    _make_links(root, links)
    return count


def _parts(name: str) -> Parts:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise BadTarError(f"{name} leads out of the folder")
    if len(path.parts) > _DEPTH_MAX:
        raise BadTarError(f"{name[:100]}… is more than {_DEPTH_MAX} folders deep")
    return path.parts


def _write_file(source: _Source, member: tarfile.TarInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of its permissions only whether it is a program: the others are this machine's habit (umask).
    mode = 0o777 if member.mode & 0o100 else 0o666
    source.allow(member.size + tarfile.BLOCKSIZE)
    left = member.size
    source.seek(member.offset_data)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode), "wb") as output:  # noqa: PTH123
        while left:
            piece = source.read(min(left, _PIECE_BYTES))
            if not piece:
                raise BadTarError("it is cut off")
            output.write(piece)
            left -= len(piece)
    with contextlib.suppress(OSError, OverflowError):
        os.utime(path, (member.mtime, member.mtime))


def _make_links(root: Path, links: list[tuple[Parts, str]]) -> None:
    names = {parts for parts, _ in links}
    for parts, target in links:
        if any(parts[:length] in names for length in range(1, len(parts))):
            raise BadTarError(f"{'/'.join(parts)} goes through a link")
        if not _is_inside(parts, target):
            raise BadTarError(f"{'/'.join(parts)} is a link that leads out of the folder")
        path = root.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)


def _is_inside(link: Parts, target: str) -> bool:
    """Tell whether a link can only lead below the root: ``..`` at the start alone, and no more than it is deep.

    Behind the name of another link ``..`` would lead on from wherever that one leads.
    """
    parts = PurePosixPath(target).parts
    if not parts or target.startswith("/") or "\0" in target:
        return False
    ups = next((number for number, part in enumerate(parts) if part != ".."), len(parts))
    return ups < len(link) and ".." not in parts[ups:]


def _join(staging: Path, destination: Path) -> None:
    """Move everything into a folder that is there; what would need a file to be a folder is found before the first."""
    folders = [Path(folder).relative_to(staging) for folder, _, _ in os.walk(staging)]
    for folder in folders[1:]:
        place = destination / folder
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            raise BadTarError(f"{place} is no folder here, and {folder} is one there")
    for folder in folders:
        (destination / folder).mkdir(exist_ok=True)
        for path in list((staging / folder).iterdir()):
            if path.is_symlink() or not path.is_dir():
                path.replace(destination / folder / path.name)
