"""Unpacks a tar into the data folder: all of it is there when, and only when, all of it could be.

It is unpacked into a hidden folder beside, with people's rights and by descriptors that follow no link; only when its
last byte has come and nothing in it was refused does it move, by renames, to its place. What was there before is
replaced file by file, folders are joined.
"""

import contextlib
import ctypes
import errno
import fcntl
import math
import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Self

from atoll.guest.archive_names import DEPTH_MAX, Parts, is_inside, parts_of_name, shown
from atoll.guest.options import People
from atoll.guest.paths import TEMPORARY_PREFIX, BadArchiveError
from atoll.guest.requests import ArchiveRequest
from atoll.guest.tar_reader import TarReader
from atoll.guest.transfer import (
    Peer,
    TransferError,
    begin_writing_out,
    folder_below,
    folder_of,
    temporary_name,
    write_all,
)

_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE_KEPT: Final = 0o777
_FOLDER_MODE_MIN: Final = 0o700  # or what comes into it could not be moved, and nobody could remove it
_TIME_MAX: Final = 1 << 33
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def put_archive(people: People, request: ArchiveRequest, peer: Peer) -> dict[str, Any]:
    """Take a tar and unpack it into a folder of the data folder; folders on the way are made.

    Raises ``TransferError``, ``BadArchiveError``, ``OSError``.
    """
    parts = request.parts
    _check_way(people.data_dir, parts)
    with _Staging(people.data_dir) as staging:
        unpacking = _Unpacking(staging.fd, request, DEPTH_MAX - len(parts), people.file_bytes_max)
        reader = TarReader(peer.chunks())
        while (member := reader.next()) is not None:
            unpacking.take(member, reader)
        reader.drain()
        if people.uid is not None:  # without walls this would be everybody's disk
            _LIBC.syncfs(staging.fd)
        with folder_of(people.data_dir, parts, _FOLDER_FLAGS, make=True) as place:
            _check_join(staging.fd, place)
            _join(staging.fd, place)
            unpacking.finish_folders(place)
            if people.uid is not None:
                _LIBC.syncfs(place)
    return {"files": unpacking.files, "folders": unpacking.folders, "links": unpacking.links, "bytes": unpacking.bytes}


class _Staging:
    """A hidden folder, locked for as long as it is used; those that a killed one left behind are removed first."""

    def __init__(self, data_dir: str) -> None:
        self._root = os.open(data_dir, _FOLDER_FLAGS & ~os.O_NOFOLLOW)
        self._name = temporary_name()

    def __enter__(self) -> Self:
        self._sweep()
        while True:
            os.mkdir(self._name, 0o700, dir_fd=self._root)
            self.fd = os.open(self._name, _FOLDER_FLAGS, dir_fd=self._root)
            fcntl.flock(self.fd, fcntl.LOCK_EX)
            if os.fstat(self.fd).st_nlink:
                return self
            os.close(self.fd)  # somebody else's sweep came in between

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._name, ignore_errors=True, dir_fd=self._root)

    def _sweep(self) -> None:
        for name in os.listdir(self._root):  # noqa: PTH208 - a descriptor
            if name.startswith(TEMPORARY_PREFIX):
                with contextlib.suppress(OSError):
                    fd = os.open(name, _FOLDER_FLAGS, dir_fd=self._root)
                    try:
                        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        shutil.rmtree(name, ignore_errors=True, dir_fd=self._root)
                    finally:
                        os.close(fd)


@dataclass(slots=True)
class _Folder:
    mode: int
    time_s: float


@dataclass(slots=True)
class _Unpacking:
    """Puts members into a folder that nobody else has, and counts them."""

    root: int
    request: ArchiveRequest
    depth_max: int
    file_bytes_max: int
    files: int = 0
    folders: int = 0
    links: int = 0
    bytes: int = 0
    _entries: int = 0
    _found: dict[Parts, _Folder] = field(default_factory=dict)

    def take(self, member: tarfile.TarInfo, reader: TarReader) -> None:
        """Put one member in place. Raises ``BadArchiveError`` for one that is not taken."""
        self._count(member)
        parts = parts_of_name(member.name)
        if len(parts) > self.depth_max:
            raise BadArchiveError(f"{shown(member.name)} is nested deeper than {DEPTH_MAX} folders below /mnt/data.")
        put = self._how(member)
        if not parts:
            if put != self._put_folder:
                raise BadArchiveError(f"{shown(member.name)} is no name for a file.")
            return
        try:
            with self._parent(parts) as parent:
                put(member, parts, parent, reader)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise BadArchiveError(f"{shown(member.name)} goes through a link or a file.") from error
            if error.errno in (errno.EEXIST, errno.EISDIR):
                raise BadArchiveError(f"{shown(member.name)} is in it as a folder and as something else.") from error
            raise

    def finish_folders(self, place: int) -> None:
        """Give folders their modes and times, the deepest first: what is done in one changes its time."""
        for parts, folder in sorted(self._found.items(), key=lambda item: -len(item[0])):
            with contextlib.suppress(OSError), folder_below(place, parts, _FOLDER_FLAGS) as fd:
                os.fchmod(fd, folder.mode | _FOLDER_MODE_MIN)
                os.utime(fd, (folder.time_s, folder.time_s))

    def _count(self, member: tarfile.TarInfo) -> None:
        self._entries += 1
        if self._entries > self.request.entries_max:
            raise BadArchiveError(f"It has more than {self.request.entries_max} entries, the most that are taken.")
        if member.issparse():
            raise BadArchiveError(f"{shown(member.name)} is a sparse file; pack it without --sparse.")
        if not 0 <= member.size <= self.file_bytes_max:
            raise BadArchiveError(f"{shown(member.name)} is larger than a file can be here.")

    def _how(self, member: tarfile.TarInfo) -> Callable[[tarfile.TarInfo, Parts, int, TarReader], None]:
        if member.isreg():
            return self._put_file
        if member.isdir():
            return self._put_folder
        if member.issym():
            return self._put_symlink
        if member.islnk():
            return self._put_hard_link
        kind = (
            "a device"
            if member.isdev() and not member.isfifo()
            else "a FIFO"
            if member.isfifo()
            else "of no known kind"
        )
        raise BadArchiveError(f"{shown(member.name)} is {kind}; only files, folders and links are taken.")

    def _put_file(self, member: tarfile.TarInfo, parts: Parts, parent: int, reader: TarReader) -> None:
        self._make_way(parts[-1], parent)
        fd = os.open(parts[-1], _FILE_FLAGS, 0o600, dir_fd=parent)
        try:
            size = begun = 0
            for piece in reader.content(member.size):
                write_all(fd, piece)
                size += len(piece)
                begun = begin_writing_out(fd, begun, size)
            os.fchmod(fd, stat.S_IMODE(member.mode) & _MODE_KEPT)
            os.utime(fd, (_time_of(member),) * 2)
        finally:
            os.close(fd)
        self.files += 1
        self.bytes += size

    def _put_folder(self, member: tarfile.TarInfo, parts: Parts, parent: int, _reader: TarReader) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(parts[-1], 0o700, dir_fd=parent)
        os.close(os.open(parts[-1], _FOLDER_FLAGS, dir_fd=parent))  # or it was another thing before
        self.folders += parts not in self._found
        self._found[parts] = _Folder(stat.S_IMODE(member.mode) & _MODE_KEPT, _time_of(member))

    def _put_symlink(self, member: tarfile.TarInfo, parts: Parts, parent: int, _reader: TarReader) -> None:
        if not is_inside(parts, member.linkname):
            raise BadArchiveError(f"{shown(member.name)} is a link that could lead outside: {shown(member.linkname)}.")
        self._make_way(parts[-1], parent)
        os.symlink(member.linkname, parts[-1], dir_fd=parent)
        self.links += 1

    def _put_hard_link(self, member: tarfile.TarInfo, parts: Parts, parent: int, _reader: TarReader) -> None:
        target = parts_of_name(member.linkname)
        problem = (
            f"{shown(member.name)} is a hard link to {shown(member.linkname)}, which is no file before it in there."
        )
        if not target or target == parts:
            raise BadArchiveError(problem)
        try:
            with self._parent(target, make=False) as folder:
                if not stat.S_ISREG(os.stat(target[-1], dir_fd=folder, follow_symlinks=False).st_mode):
                    raise BadArchiveError(problem)
                self._make_way(parts[-1], parent)
                os.link(target[-1], parts[-1], src_dir_fd=folder, dst_dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError as error:
            raise BadArchiveError(problem) from error
        self.links += 1

    def _make_way(self, name: str, parent: int) -> None:
        """Of one name twice the last counts, as with tar."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=parent)

    def _parent(self, parts: Parts, *, make: bool = True) -> contextlib.AbstractContextManager[int]:
        return folder_below(self.root, parts[:-1], _FOLDER_FLAGS, make=make)


def _check_way(data_dir: str, parts: Parts) -> None:
    """Refuse before the first byte what could only be refused after the last."""
    try:
        with folder_of(data_dir, parts, _FOLDER_FLAGS):
            return
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise TransferError("bad_request", "There is something at that path that is no folder.", "path") from error
        raise


def _check_join(source: int, target: int, path: str = "") -> None:
    """Refuse before the first rename what would stop in the middle."""
    if not os.access(".", os.W_OK | os.X_OK, dir_fd=target, effective_ids=True):
        raise TransferError("permission", f"Nothing can be written into the folder {shown(path or '.')}.")
    for name in os.listdir(source):
        with contextlib.suppress(FileNotFoundError):
            there = os.stat(name, dir_fd=target, follow_symlinks=False)
            own = os.stat(name, dir_fd=source, follow_symlinks=False)
            where = f"{path}/{name}".lstrip("/")
            if stat.S_ISDIR(own.st_mode) != stat.S_ISDIR(there.st_mode):
                raise TransferError(
                    "not_regular", f"{shown(where)} is a folder on one side and something else on the other."
                )
            if stat.S_ISDIR(own.st_mode):
                with _both(name, source, target) as (below, place):
                    _check_join(below, place, where)


def _join(source: int, target: int) -> None:
    """Move everything over: a folder that is not there yet as it is, another's content one by one."""
    for name in os.listdir(source):
        try:
            os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            with _both(name, source, target) as (below, place):
                _join(below, place)


@contextlib.contextmanager
def _both(name: str, source: int, target: int) -> Iterator[tuple[int, int]]:
    flags = _FOLDER_FLAGS
    with folder_below(source, (name,), flags) as below, folder_below(target, (name,), flags) as place:
        yield below, place


def _time_of(member: tarfile.TarInfo) -> float:
    time_s = member.mtime
    return float(time_s) if math.isfinite(time_s) and 0 <= time_s < _TIME_MAX else 0.0
