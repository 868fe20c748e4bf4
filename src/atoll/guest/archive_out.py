"""Packs a file or a folder of the data folder into a tar, as it is read.

With people's rights: what they cannot read is left out, and so is what is neither file, folder nor link (sockets,
FIFOs, devices), links that lead elsewhere, and names that are not UTF-8. Links come last, so that whatever is changed
meanwhile nothing of the archive can go through one of them.
"""

import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from atoll.guest.archive_names import DEPTH_MAX, Parts, is_inside, is_text
from atoll.guest.paths import TEMPORARY_PREFIX
from atoll.guest.protocol import DATA_BYTES_MAX
from atoll.guest.requests import ArchiveRequest
from atoll.guest.transfer import READ_FLAGS, Peer, TransferError, folder_of, send_data

_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BLOCK: Final = tarfile.BLOCKSIZE
_END: Final = bytes(tarfile.RECORDSIZE)
# What is left out is looked at, too, and there may be more of it all the time.
_LOOKS_PER_ENTRY: Final = 4


def get_archive(data_dir: str, request: ArchiveRequest, peer: Peer) -> dict[str, Any]:
    """Send a tar of what is at a path. Raises ``TransferError``, ``OSError``."""
    parts = request.parts
    packing = _Packing(peer, request.entries_max, request.entries_max * _LOOKS_PER_ENTRY)
    if not parts:
        packing.folder(os.open(data_dir, _FOLDER_FLAGS & ~os.O_NOFOLLOW), ())
    else:
        with folder_of(data_dir, parts[:-1]) as parent:
            status = os.stat(parts[-1], dir_fd=parent, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                packing.folder(os.open(parts[-1], _FOLDER_FLAGS, dir_fd=parent), ())
            elif stat.S_ISREG(status.st_mode):
                packing.file(os.open(parts[-1], READ_FLAGS, dir_fd=parent), parts[-1:])
            else:
                raise TransferError("not_regular", "There is something at that path that is no file and no folder.")
    packing.finish()
    return {}


@dataclass(slots=True)
class _Packing:
    peer: Peer
    entries_left: int
    looks_left: int
    _links: list[tuple[Parts, str, int]] = field(default_factory=list)
    _out: bytearray = field(default_factory=bytearray)

    def folder(self, fd: int, parts: Parts) -> None:
        """Pack a folder and what is in it; closes the descriptor. Its own entry comes first, but none for the root."""
        try:
            if parts:
                self._header(parts, os.fstat(fd), tarfile.DIRTYPE)
            if len(parts) >= DEPTH_MAX:
                raise TransferError("bad_request", f"There are folders more than {DEPTH_MAX} deep.", "path")
            for name in _names(fd):
                self._entry(fd, (*parts, name))
        finally:
            os.close(fd)

    def file(self, fd: int, parts: Parts) -> None:
        """Pack an open file, of the size that it has now; closes the descriptor."""
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return  # it was one a moment ago
            self._header(parts, status, tarfile.REGTYPE)
            position = 0
            while position < status.st_size:
                data = os.pread(fd, min(DATA_BYTES_MAX, status.st_size - position), position)
                if not data:
                    raise TransferError("internal", "A file became shorter while it was read.")
                self._write(data)
                position += len(data)
            self._write(bytes(-status.st_size % _BLOCK))
        finally:
            os.close(fd)

    def finish(self) -> None:
        """Pack the links, and the end."""
        for parts, target, time_s in self._links:
            info = tarfile.TarInfo("/".join(parts))
            info.type, info.linkname, info.mode, info.mtime = tarfile.SYMTYPE, target, 0o777, time_s
            self._write(info.tobuf(tarfile.PAX_FORMAT, "utf-8"))
        self._write(_END)
        send_data(self.peer, bytes(self._out))

    def _entry(self, folder: int, parts: Parts) -> None:
        name = parts[-1]
        self.looks_left -= 1
        if self.looks_left < 0:
            raise _too_many()
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                target = os.readlink(name, dir_fd=folder)
                if is_inside(parts, target):
                    self._count()
                    self._links.append((parts, target, int(status.st_mtime)))
                return
            if stat.S_ISDIR(status.st_mode):
                fd, pack = os.open(name, _FOLDER_FLAGS, dir_fd=folder), self.folder
            elif stat.S_ISREG(status.st_mode):
                fd, pack = os.open(name, READ_FLAGS, dir_fd=folder), self.file
            else:
                return
        except OSError:
            return  # not readable, or gone or another thing by now
        pack(fd, parts)

    def _count(self) -> None:
        self.entries_left -= 1
        if self.entries_left < 0:
            raise _too_many()

    def _header(self, parts: Parts, status: os.stat_result, kind: bytes) -> None:
        self._count()
        info = tarfile.TarInfo("/".join(parts))
        info.type = kind
        info.size = status.st_size if kind == tarfile.REGTYPE else 0
        info.mode = stat.S_IMODE(status.st_mode) & 0o777
        info.mtime = max(0, int(status.st_mtime))
        self._write(info.tobuf(tarfile.PAX_FORMAT, "utf-8"))

    def _write(self, data: bytes) -> None:
        self._out += data
        if len(self._out) >= DATA_BYTES_MAX:
            send_data(self.peer, bytes(self._out))
            self._out.clear()


def _too_many() -> TransferError:
    return TransferError("bad_request", "There are more files than one archive may have.", "path")


def _names(fd: int) -> Iterator[str]:
    with os.scandir(fd) as entries:
        for entry in entries:
            if is_text(entry.name) and not entry.name.startswith(TEMPORARY_PREFIX):
                yield entry.name
