"""Moves one file's bytes in or out, in a forked child that owns the connection, with people's rights.

In a child because opening, reading, writing and syncing may take as long as they like there without holding up
anything else; blocking calls keep the code short. The agent forgets the connection as soon as the child has it.
"""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator
from typing import Any, Final, Self

from atoll.guest.paths import TEMPORARY_PREFIX, BadArchiveError, PathError, parts_of, public_path
from atoll.guest.protocol import (
    DATA_BYTES_MAX,
    HEADER_BYTES,
    FrameDecoder,
    FrameType,
    ProtocolError,
    encode,
    encode_header,
    encode_json,
)
from atoll.guest.requests import GetRequest, PutRequest

_FOLDER_FLAGS: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_RECEIVE_BYTES: Final = 256 * 1024
# As much as the kernel lets be on its way to the host: with less, the two take turns instead of working side by side.
_SOCKET_BYTES: Final = 2 * 1024 * 1024
# How many bytes of an upload may wait to be written to the disk. Left to itself the kernel begins when a tenth of the
# machine's memory waits, or when the sandbox's own is full and all has to stop for it.
_UNWRITTEN_BYTES_MAX: Final = 8 * 1024 * 1024
_LINGER_S: Final = 30

_CODES: Final = {
    errno.ENOENT: "not_found",
    errno.ENOTDIR: "not_regular",
    errno.EISDIR: "not_regular",
    errno.ELOOP: "not_regular",
    errno.ENXIO: "not_regular",
    errno.EEXIST: "exists",
    errno.ENOSPC: "no_space",
    errno.EDQUOT: "no_space",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.EROFS: "permission",
    errno.EFBIG: "too_large",
    errno.ENAMETOOLONG: "bad_request",
    errno.EMFILE: "busy",
    errno.ENFILE: "busy",
    errno.ENOMEM: "busy",
}


class TransferError(Exception):
    """What ends a transfer with a ``FAILURE``; ``field`` of the request is what was wrong, where that is one."""

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.field = field


class HangUpError(Exception):
    """The host is gone: leave no trace and say nothing."""


class Peer:
    """The host on a blocking socket."""

    def __init__(self, sock: socket.socket, decoder: FrameDecoder) -> None:
        self._sock = sock
        self._decoder = decoder
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)

    def send(self, frame: bytes | memoryview) -> None:
        """Send a frame. Raises ``HangUpError``."""
        try:
            self._sock.sendall(frame)
        except OSError as error:
            raise HangUpError from error

    def chunks(self) -> Iterator[bytes]:
        """Give an upload's ``DATA`` up to its ``END``. Raises ``HangUpError``."""
        data = b""
        while True:
            for frame_type, payload in self._decoder.feed(data):
                if frame_type is FrameType.END:
                    return
                if frame_type is not FrameType.DATA:
                    raise ProtocolError(f"a {frame_type.name} frame makes no sense in an upload")
                yield payload
            try:
                data = self._sock.recv(_RECEIVE_BYTES)
            except OSError as error:
                raise HangUpError from error
            if not data:
                raise HangUpError

    def linger(self) -> None:
        """Swallow what the host still sends, until it has read the answer and hangs up; closing would reset it."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            self._sock.settimeout(_LINGER_S)
            while self._sock.recv(_RECEIVE_BYTES):
                pass


def carry_out(peer: Peer, work: Callable[[], dict[str, Any]]) -> None:
    """Do ``work`` and answer with its result, or with the failure that it ended in."""
    try:
        peer.send(encode_json(FrameType.RESULT, work()))
    except HangUpError:
        return
    except (TransferError, BadArchiveError, PathError, ProtocolError, OSError, MemoryError) as error:
        code, message = _failure(error)
        field = {"field": error.field} if isinstance(error, TransferError) and error.field else {}
        with contextlib.suppress(HangUpError):
            peer.send(encode_json(FrameType.FAILURE, {"code": code, "message": message} | field))
            peer.linger()


def get(data_dir: str, request: GetRequest, peer: Peer) -> dict[str, Any]:
    """Send a regular file's bytes; what is announced is never exceeded, and falling short is a failure."""
    parts = parts_of(request.path)
    with folder_of(data_dir, parts[:-1]) as folder:
        _must_be_regular(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False))
        fd = os.open(parts[-1], READ_FLAGS, dir_fd=folder)
    status = os.fstat(fd)
    _must_be_regular(status)
    peer.send(encode_json(FrameType.EVENT, {"event": "opened", "size": status.st_size}))
    position = min(request.offset, status.st_size)
    end = status.st_size if request.length is None else min(status.st_size, position + request.length)
    _send_part(fd, position, end, peer)
    return {}


def put(data_dir: str, request: PutRequest, peer: Peer, file_bytes_max: int) -> dict[str, Any]:
    """Take a file's bytes and show them under its path when, and only when, all of them are on disk."""
    parts = parts_of(request.path)
    _check_way(data_dir, parts, exclusive=request.exclusive)
    root = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with _Draft(root) as draft:
        size = begun = 0
        for chunk in peer.chunks():
            size += len(chunk)
            if size > file_bytes_max:
                raise TransferError("too_large", f"A file can have at most {file_bytes_max} bytes.")
            write_all(draft.fd, chunk)
            begun = begin_writing_out(draft.fd, begun, size)
        os.fsync(draft.fd)
        draft.publish(data_dir, parts, exclusive=request.exclusive)
        status = os.fstat(draft.fd)
    return {"path": public_path(parts), "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def delete(data_dir: str, path: str) -> dict[str, Any]:
    """Remove a regular file; one that is not there is not a failure."""
    parts = parts_of(path)
    try:
        with folder_of(data_dir, parts[:-1]) as folder:
            _must_be_regular(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False))
            os.unlink(parts[-1], dir_fd=folder)
            _sync_folder(folder)
    except FileNotFoundError:
        return {"deleted": False}
    return {"deleted": True}


def _send_part(fd: int, position: int, end: int, peer: Peer) -> None:
    """Send what a file holds from ``position`` to ``end``, through one buffer."""
    frame = memoryview(bytearray(HEADER_BYTES + DATA_BYTES_MAX))
    while position < end:
        wanted = min(DATA_BYTES_MAX, end - position)
        size = os.preadv(fd, [frame[HEADER_BYTES : HEADER_BYTES + wanted]], position)
        if not size:
            raise TransferError("internal", "The file became shorter while it was read.")
        frame[:HEADER_BYTES] = encode_header(FrameType.DATA, size)
        peer.send(frame[: HEADER_BYTES + size])
        position += size


class _Draft:
    """An upload's bytes before they are shown: a file without a name, which vanishes with this process.

    File systems that have no such files get one with a hidden name in the root of the data folder; all of the data
    folder is one file system, so it can be moved anywhere in it.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._name: str | None = None
        try:
            self.fd = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o644, dir_fd=root)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
                raise
            self._name = temporary_name()
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
            self.fd = os.open(self._name, flags, 0o644, dir_fd=root)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._name is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._name, dir_fd=self._root)

    def publish(self, data_dir: str, parts: tuple[str, ...], *, exclusive: bool) -> None:
        """Give the file its place; folders on the way are made, and removed again if that fails."""
        made: list[tuple[str, ...]] = []
        try:
            for depth in range(1, len(parts)):
                _makefolder_of(data_dir, parts[:depth], made)
            with folder_of(data_dir, parts[:-1]) as folder:
                if exclusive:
                    self._link(parts[-1], folder)
                else:
                    self._replace(parts[-1], folder)
                _sync_folder(folder)
        except OSError:
            for folder_parts in reversed(made):
                with contextlib.suppress(OSError), folder_of(data_dir, folder_parts[:-1]) as folder:
                    os.rmdir(folder_parts[-1], dir_fd=folder)
            raise

    def _link(self, name: str, folder: int) -> None:
        if self._name is None:
            os.link(f"/proc/self/fd/{self.fd}", name, dst_dir_fd=folder, follow_symlinks=True)
        else:
            os.link(self._name, name, src_dir_fd=self._root, dst_dir_fd=folder, follow_symlinks=False)

    def _replace(self, name: str, folder: int) -> None:
        if self._name is None:
            temporary = temporary_name()
            self._link(temporary, self._root)
            self._name = temporary
        os.rename(self._name, name, src_dir_fd=self._root, dst_dir_fd=folder)
        self._name = None


def temporary_name() -> str:
    """Give a hidden name that nothing has."""
    return TEMPORARY_PREFIX + os.urandom(8).hex()


def _check_way(data_dir: str, parts: tuple[str, ...], *, exclusive: bool) -> None:
    """Refuse before the first byte what could only be refused after the last."""
    try:
        with folder_of(data_dir, parts[:-1]) as folder:
            status = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if exclusive:
        raise TransferError("exists", "There is a file of that name already.")
    if stat.S_ISDIR(status.st_mode):
        raise TransferError("not_regular", "There is a folder of that name.")


def _makefolder_of(data_dir: str, parts: tuple[str, ...], made: list[tuple[str, ...]]) -> None:
    with folder_of(data_dir, parts[:-1]) as folder, contextlib.suppress(FileExistsError):
        os.mkdir(parts[-1], 0o755, dir_fd=folder)
        made.append(parts)
        _sync_folder(folder)


@contextlib.contextmanager
def folder_of(
    data_dir: str, parts: tuple[str, ...], flags: int = _FOLDER_FLAGS, *, make: bool = False
) -> Iterator[int]:
    """Open a folder below the data folder as ``folder_below`` does."""
    root = os.open(data_dir, flags & ~os.O_NOFOLLOW)
    try:
        with folder_below(root, parts, flags, make=make) as folder:
            yield folder
    finally:
        os.close(root)


def _sync_folder(folder: int) -> None:
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _must_be_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise TransferError("not_regular", "There is something of that name that is not a regular file.")


def send_data(peer: Peer, data: bytes) -> None:
    """Send bytes of any number. Raises ``HangUpError``."""
    for start in range(0, len(data), DATA_BYTES_MAX):
        peer.send(encode(FrameType.DATA, data[start : start + DATA_BYTES_MAX]))


@contextlib.contextmanager
def folder_below(root: int, parts: tuple[str, ...], flags: int, *, make: bool = False) -> Iterator[int]:
    """Open a folder below an open one step by step, with ``flags``, which must say to follow no symlink.

    ``make`` makes the folders that are not there.
    """
    fd = os.dup(root)
    try:
        for part in parts:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=fd)
            deeper = os.open(part, flags, dir_fd=fd)
            os.close(fd)
            fd = deeper
        yield fd
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    """Write all of it. Raises ``OSError``."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def begin_writing_out(fd: int, begun: int, size: int) -> int:
    """Have the disk begin with what it was not told of yet, when that is much; gives how far it was told.

    It also makes the last wait, for all of it, a short one.
    """
    if size - begun < _UNWRITTEN_BYTES_MAX:
        return begun
    os.posix_fadvise(fd, begun, size - begun, os.POSIX_FADV_DONTNEED)
    return size


def _failure(error: Exception) -> tuple[str, str]:
    if isinstance(error, TransferError):
        return error.code, str(error)
    if isinstance(error, BadArchiveError):
        return "bad_archive", str(error)
    if isinstance(error, PathError | ProtocolError):
        return "bad_request", f"{error}"
    if isinstance(error, OSError):
        return _CODES.get(error.errno or 0, "internal"), f"{error.strerror or error}."
    return "busy", "There was not enough memory."
