"""Unpack a tar that a stranger made into a root file system: nothing outside it is touched, nothing in it has power.

What a path means is the kernel's to say (``Rootfs``); this module bounds how much comes out, refuses what no sandbox
could have, and leaves devices, FIFOs and set-id bits behind. A layer of a container image is such a tar in which
``.wh.NAME`` takes away what earlier layers put there.
"""

import io
import math
import os
import stat
import tarfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Final, Protocol

from atoll.images.errors import ArchiveError
from atoll.images.rootfs import Rootfs, is_folder, remove

_BLOCK: Final = tarfile.BLOCKSIZE
_CHUNK: Final = 1 << 20
_HEADER_BYTES_MAX: Final = 1 << 20
_ID_MAX: Final = 65535
_TIME_MAX: Final = 1 << 40
_KEPT_MODE: Final = 0o1777
_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"


class Readable(Protocol):
    """Where a tar's bytes come from, front to back."""

    def read(self, size_max: int, /) -> bytes:
        """Give up to ``size_max`` bytes, none at the end."""
        ...


@dataclass(slots=True)
class Budget:
    """How much may still come out of all of an archive's tars together."""

    entries: int
    size_bytes: int

    def spend(self, size_bytes: int) -> None:
        """Take one entry of that size. Raises ``ArchiveError`` when that is too much."""
        self.entries -= 1
        self.size_bytes -= size_bytes
        if self.entries < 0:
            raise ArchiveError("The archive has more files than an image may have.")
        if self.size_bytes < 0:
            raise ArchiveError("The archive's content is larger than an image may be.")


class ForwardReader:
    """The little of a file that ``tarfile`` needs, on a stream: forward only, and never much at once."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._position = 0
        self._again = b""
        self.last_block = b""

    def read(self, size: int = -1) -> bytes:
        """Give exactly ``size`` bytes, less only at the end. Raises ``ArchiveError`` for an absurd size."""
        if not 0 <= size <= max(_HEADER_BYTES_MAX, _CHUNK):
            raise ArchiveError("The archive has a header that cannot be.")
        data, self._again = self._again[:size] or self._source.read(size), b""
        while len(data) < size and (more := self._source.read(size - len(data))):
            data += more
        self._position += len(data)
        self.last_block = data[-_BLOCK:]
        return data

    def tell(self) -> int:
        """Give the number of bytes read."""
        return self._position

    def seek(self, position: int) -> None:
        """Skip to ``position``; the last byte read can be had again, which is how ``tarfile`` looks for the end."""
        if position == self._position - 1 and self.last_block:
            self._position = position
            self._again = self.last_block[-1:]
            return
        if position < self._position:
            raise ArchiveError("The archive has a header that cannot be.")
        gap = position - self._position
        if gap > _CHUNK and isinstance(self._source, io.BufferedReader) and self._source.seekable():
            self._source.seek(gap, os.SEEK_CUR)
            self._position = position
        while self._position < position:
            if not self.read(min(_CHUNK, position - self._position)):
                raise ArchiveError("The archive is cut off.")


def members(source: Readable) -> "TarMembers":
    """Go through a tar's headers, one ``next()`` at a time."""
    return TarMembers(source)


class TarMembers:
    """A tar that is read once, front to back, in bounded memory."""

    def __init__(self, source: Readable) -> None:
        self._reader = ForwardReader(source)
        self._tar: tarfile.TarFile | None = None

    def next(self) -> tarfile.TarInfo | None:
        """Give the next header, ``None`` at the end. Raises ``ArchiveError`` when the tar is broken or cut off."""
        try:
            if self._tar is None:
                self._tar = tarfile.TarFile(fileobj=self._as_file(), mode="r")
            member = self._tar.next()
        except (tarfile.TarError, ValueError, OverflowError, UnicodeError) as error:
            raise ArchiveError(f"The archive is no tar, or a broken one: {error}") from error
        self._tar.members = []  # type: ignore[attr-defined]  # undocumented, but else tarfile keeps every header
        if member is None and self._reader.last_block.count(0) != _BLOCK:
            raise ArchiveError("The archive is cut off.")
        return member

    def content(self, member: tarfile.TarInfo) -> IO[bytes]:
        """Give the last header's content, to be read before the next header is asked for."""
        assert self._tar is not None  # noqa: S101 - a member came out of it
        content = self._tar.extractfile(member)
        if content is None:
            raise ArchiveError(f"{member.name!r} has no content.")
        return content

    def _as_file(self) -> IO[bytes]:
        return self._reader  # type: ignore[return-value]  # tarfile uses read, seek and tell alone


class Extraction:
    """Unpacks one tar after another into the same root file system, within one budget."""

    def __init__(self, rootfs: Rootfs, budget: Budget) -> None:
        self._rootfs = rootfs
        self._budget = budget

    def unpack(self, source: Readable, *, layer: bool) -> None:
        """Unpack a tar; ``layer`` says whether ``.wh.`` names take things away. Raises ``ArchiveError``."""
        tar = members(source)
        own: set[PurePosixPath] = set()
        while (member := tar.next()) is not None:
            path = _inside(member.name)
            if not path.parts:
                continue
            try:
                if layer and path.name.startswith(_WHITEOUT):
                    self._take_away(path, own)
                else:
                    self._put(tar, member, path)
                    own.add(path)
            except (OSError, ValueError, tarfile.TarError) as error:
                raise ArchiveError(f"{member.name!r} cannot be unpacked: {error}") from error

    def _put(self, tar: TarMembers, member: tarfile.TarInfo, path: PurePosixPath) -> None:
        if not 0 <= member.uid <= _ID_MAX or not 0 <= member.gid <= _ID_MAX:
            raise ArchiveError(f"{member.name!r} belongs to {member.uid}:{member.gid}; a sandbox has the ids 0..65535.")
        self._budget.spend(max(member.size, _BLOCK))
        if member.isdir():
            self._put_folder(member, path)
        elif member.isreg():
            self._put_file(tar, member, path)
        elif member.issym():
            self._put_symlink(member, path)
        elif member.islnk():
            self._rootfs.link(_inside(member.linkname), path)

    def _put_folder(self, member: tarfile.TarInfo, path: PurePosixPath) -> None:
        parent = self._rootfs.parent(path)
        if not is_folder(parent, path.name):
            remove(parent, path.name)
            os.mkdir(path.name, 0o700, dir_fd=parent)
        folder = os.open(path.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            _own(folder, member)
        finally:
            os.close(folder)

    def _put_file(self, tar: TarMembers, member: tarfile.TarInfo, path: PurePosixPath) -> None:
        parent = self._rootfs.parent(path)
        remove(parent, path.name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(path.name, flags, 0o600, dir_fd=parent), "wb") as file, tar.content(member) as content:  # noqa: PTH123 - a descriptor
            written = 0
            while chunk := content.read(_CHUNK):
                file.write(chunk)
                written += len(chunk)
            if written != member.size:
                raise ArchiveError("The archive is cut off.")
            file.flush()
            _own(file.fileno(), member)

    def _put_symlink(self, member: tarfile.TarInfo, path: PurePosixPath) -> None:
        parent = self._rootfs.parent(path)
        remove(parent, path.name)
        os.symlink(member.linkname, path.name, dir_fd=parent)
        os.chown(path.name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)

    def _take_away(self, path: PurePosixPath, own: set[PurePosixPath]) -> None:
        self._budget.spend(_BLOCK)
        parent = self._rootfs.parent(path)
        if path.name == _OPAQUE:
            # In place of all that earlier layers have in the folder; what this layer has put there already stays.
            descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)
            try:
                names = os.listdir(descriptor)  # noqa: PTH208 - a descriptor, not a path
            finally:
                os.close(descriptor)
            for name in names:
                if path.parent / name not in own:
                    remove(parent, name)
        else:
            remove(parent, path.name.removeprefix(_WHITEOUT))


def _inside(name: str) -> PurePosixPath:
    """Give a member's path relative to the root. Raises ``ArchiveError`` when it climbs."""
    path = PurePosixPath(name.lstrip("/"))
    if ".." in path.parts:
        raise ArchiveError(f"{name!r} is no path of a root file system.")
    return path


def _own(descriptor: int, member: tarfile.TarInfo) -> None:
    """Give an open file or folder the owner, mode and time that its header says, as far as they lend no power."""
    os.fchown(descriptor, member.uid, member.gid)
    os.fchmod(descriptor, stat.S_IMODE(member.mode) & _KEPT_MODE)
    time = member.mtime if math.isfinite(member.mtime) and 0 <= member.mtime < _TIME_MAX else 0
    os.utime(descriptor, (time, time))
