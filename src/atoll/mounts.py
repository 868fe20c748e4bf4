"""Mounts and mount namespaces, through libc; each raises ``OSError`` when the kernel says no."""

import ctypes
import os
import struct
from enum import IntFlag
from pathlib import Path
from typing import Any, Final

_CLONE_NEWNS: Final = 0x00020000
_MS_REC: Final = 1 << 14
_MNT_DETACH: Final = 2
_UMOUNT_NOFOLLOW: Final = 8

# These numbers are the same on every architecture: the calls are younger than the common table.
_SYS_OPEN_TREE: Final = 428
_SYS_MOVE_MOUNT: Final = 429
_SYS_MOUNT_SETATTR: Final = 442
_AT_FDCWD: Final = -100
_AT_EMPTY_PATH: Final = 0x1000
_OPEN_TREE_CLONE: Final = 1
_MOVE_MOUNT_F_EMPTY_PATH: Final = 4
_MOUNT_ATTR_RDONLY: Final = 0x1
_MOUNT_ATTR_NOSUID: Final = 0x2
_MOUNT_ATTR_NODEV: Final = 0x4
_MOUNT_ATTR_IDMAP: Final = 0x00100000

_libc: Final = ctypes.CDLL(None, use_errno=True)


class Flags(IntFlag):
    """What a mount lets its users do; mount(2)."""

    READ_ONLY = 1
    NOSUID = 2
    NODEV = 4
    REMOUNT = 32
    BIND = 4096
    RECURSIVE = _MS_REC


class Propagation(IntFlag):
    """What of the namespace that a new one is a copy of goes on to show up in it."""

    PRIVATE = 1 << 18
    SLAVE = 1 << 19


def unshare(propagation: Propagation) -> None:
    """Give this thread, and every thread and child it starts, a mount namespace of its own.

    Nothing mounted in it ever shows up outside.
    """
    _check(_libc.unshare(_CLONE_NEWNS), "mount namespace")
    _check(_libc.mount(None, b"/", None, ctypes.c_ulong(_MS_REC | propagation), None), "/")


def mount(source: str | None, target: str | Path, fs_type: str | None, flags: Flags, options: str = "") -> None:
    """Mount a file system, or change or bind a mount, as ``flags`` say."""
    words = (None if word is None else os.fsencode(word) for word in (source, target, fs_type))
    _check(_libc.mount(*words, ctypes.c_ulong(flags), options.encode() or None), str(target))


def detach(target: Path) -> None:
    """Take a mount, with all that is mounted on it, out of this namespace at once."""
    _check(_libc.umount2(os.fsencode(target), _MNT_DETACH | _UMOUNT_NOFOLLOW), str(target))


def mount_idmapped(source: str | Path, target: Path, user_namespace: int) -> None:
    """Show the tree at ``source`` once more at ``target``, owners shifted as ``user_namespace`` maps them."""
    tree = clone_idmapped(source, user_namespace)
    try:
        attach(tree, target)
    finally:
        os.close(tree)


def clone_idmapped(source: str | Path, user_namespace: int, *, read_only: bool = False) -> int:
    """Give a descriptor of a mount, in no place yet, of the tree at ``source``; owners as :func:`mount_idmapped`."""
    clone = ctypes.c_uint(_OPEN_TREE_CLONE | os.O_CLOEXEC)
    tree = _system_call(_SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(source), clone, path=source)
    wanted = _MOUNT_ATTR_IDMAP | _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV | (_MOUNT_ATTR_RDONLY if read_only else 0)
    attributes = struct.pack("QQQQ", wanted, 0, 0, user_namespace)
    size = ctypes.c_size_t(len(attributes))
    try:
        _system_call(_SYS_MOUNT_SETATTR, tree, b"", ctypes.c_uint(_AT_EMPTY_PATH), attributes, size, path=source)
    except OSError:
        os.close(tree)
        raise
    return tree


def attach(tree: int, target: Path) -> None:
    """Put a mount that has no place yet at ``target``; the descriptor stays open."""
    by_descriptor = ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH)
    _system_call(_SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(target), by_descriptor, path=target)


def _system_call(number: int, *arguments: Any, path: str | Path) -> int:
    return _check(_libc.syscall(ctypes.c_long(number), *arguments), str(path))


def _check(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), what)
    return result
