"""Write into a root file system that strangers filled, without ever leaving it.

Every path is resolved by the kernel with ``openat2(RESOLVE_IN_ROOT)``: absolute links, ``..`` and links to links
lead where they would lead inside, never outside. The last part of a path is never followed.
"""

import contextlib
import ctypes
import os
import shutil
import stat
import struct
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Final, Self

_SYS_OPENAT2: Final = 437  # one number on every architecture
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_IN_ROOT: Final = 0x10
_FOLDER: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC

_libc = ctypes.CDLL(None, use_errno=True)


class Rootfs:
    """A root file system that is being made. All paths are as seen inside, with or without a leading slash."""

    def __init__(self, folder: Path) -> None:
        self._root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._parent: tuple[PurePosixPath, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget_parent()
        os.close(self._root)

    def parent(self, path: PurePosixPath) -> int:
        """Give a descriptor of the folder in which ``path``'s last part lies; missing folders are made (0755, root's).

        It is valid until the next call, and kept for it: replacing ``path`` itself does not move its parent.
        Raises ``OSError``.
        """
        if self._parent is None or self._parent[0] != path.parent:
            self._forget_parent()
            self._parent = (path.parent, self._make_folders(path.parent))
        return self._parent[1]

    def link(self, target: PurePosixPath, path: PurePosixPath) -> None:
        """Make ``path`` another name of the file ``target``, which is not followed. Raises ``OSError``."""
        parent = self.parent(path)
        target_parent = self._open(str(target.parent), _FOLDER)
        try:
            remove(parent, path.name)
            os.link(target.name, path.name, src_dir_fd=target_parent, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(target_parent)

    def read(self, path: str, size_max: int) -> bytes | None:
        """Give a regular file's first ``size_max`` bytes, links followed inside; ``None`` when there is none."""
        try:
            descriptor = self._open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            return os.read(descriptor, size_max) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
        finally:
            os.close(descriptor)

    def write(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Put a file of root's at ``path``, in place of whatever was there."""
        inside = PurePosixPath(path)
        parent = self.parent(inside)
        remove(parent, inside.name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(inside.name, flags, mode, dir_fd=parent), "wb") as file:  # noqa: PTH123 - a descriptor
            file.write(content)
            os.fchmod(file.fileno(), mode)

    def make_folder(self, path: str, *, owner: int, mode: int = 0o755) -> None:
        """See to it that ``path`` is a folder of that owner (user and group)."""
        inside = PurePosixPath(path)
        parent = self.parent(inside)
        if not is_folder(parent, inside.name):
            remove(parent, inside.name)
            os.mkdir(inside.name, mode, dir_fd=parent)
        folder = os.open(inside.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            os.fchown(folder, owner, owner)
            os.fchmod(folder, mode)
        finally:
            os.close(folder)

    def is_program(self, path: str) -> bool:
        """Tell whether ``path`` leads to an executable file inside."""
        try:
            descriptor = self._open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return False
        mode = os.fstat(descriptor).st_mode
        os.close(descriptor)
        return stat.S_ISREG(mode) and bool(mode & 0o111)

    def names(self, path: str) -> list[str]:
        """Give the names in a folder, sorted; none when there is no such folder."""
        try:
            folder = self._open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return []
        try:
            return sorted(os.listdir(folder))  # noqa: PTH208 - a descriptor, not a path
        finally:
            os.close(folder)

    def _make_folders(self, folder: PurePosixPath) -> int:
        try:
            return self._open(str(folder), _FOLDER)
        except FileNotFoundError:
            above = self._make_folders(folder.parent)
        try:
            os.mkdir(folder.name, 0o755, dir_fd=above)
        finally:
            os.close(above)
        return self._open(str(folder), _FOLDER)

    def _open(self, path: str, flags: int) -> int:
        how = struct.pack("QQQ", flags, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
        result = _libc.syscall(
            ctypes.c_long(_SYS_OPENAT2), self._root, os.fsencode(path), how, ctypes.c_size_t(len(how))
        )
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
        return int(result)

    def _forget_parent(self) -> None:
        if self._parent is not None:
            os.close(self._parent[1])
            self._parent = None


def is_folder(parent: int, name: str) -> bool:
    """Tell whether ``name`` is a folder itself, not a link to one."""
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def remove(parent: int, name: str) -> None:
    """Remove what is there under ``name``, a folder with all that is in it; nothing there is fine."""
    if name in {"", ".", ".."}:
        raise ValueError(name)
    with contextlib.suppress(FileNotFoundError):
        if is_folder(parent, name):
            shutil.rmtree(name, dir_fd=parent)
        else:
            os.unlink(name, dir_fd=parent)
