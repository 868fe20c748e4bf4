"""System calls that Python has no function for, through libc; each raises ``OSError`` when the kernel says no."""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWIPC: Final = 0x08000000
_CLONE_NEWNET: Final = 0x40000000

MS_NOSUID: Final = 2
MS_NODEV: Final = 4
_MS_REC: Final = 1 << 14
_MS_SLAVE: Final = 1 << 19
_MNT_DETACH: Final = 2
_UMOUNT_NOFOLLOW: Final = 8

# These numbers are the same on every architecture: the calls are younger than the common table.
_SYS_OPEN_TREE: Final = 428
_SYS_MOVE_MOUNT: Final = 429
_SYS_MOUNT_SETATTR: Final = 442
_SYS_SETRESUID: Final = {"x86_64": 117, "aarch64": 147}
_AT_FDCWD: Final = -100
_AT_EMPTY_PATH: Final = 0x1000
_OPEN_TREE_CLONE: Final = 1
_MOVE_MOUNT_F_EMPTY_PATH: Final = 4
_MOUNT_ATTR_NOSUID: Final = 2
_MOUNT_ATTR_NODEV: Final = 4
_MOUNT_ATTR_IDMAP: Final = 0x00100000
_LINUX_CAPABILITY_VERSION_3: Final = 0x20080522

_PR_SET_CHILD_SUBREAPER: Final = 36

_libc: Final = ctypes.CDLL(None, use_errno=True)


def unshare_mounts() -> None:
    """Give this thread, and every thread and child it starts, a mount namespace of its own.

    What the host mounts later still shows up in it (a slave, not private: an operator may unmount a disk without
    this process holding it); nothing mounted in it ever shows up outside.
    """
    _check(_libc.unshare(CLONE_NEWNS), "unshare")
    _check(_libc.mount(None, b"/", None, ctypes.c_ulong(_MS_REC | _MS_SLAVE), None), "/")


def adopt_orphans() -> None:
    """Be the parent of every process below this one whose own parent ends; whoever started it collects it.

    A pid namespace ends only when all that was ever in it is collected, and the host's own init may take its time.
    """
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0), "prctl")


def mount(source: str, target: Path, fs_type: str, flags: int, options: str = "") -> None:
    """Mount a file system."""
    done = _libc.mount(source.encode(), os.fsencode(target), fs_type.encode(), ctypes.c_ulong(flags), options.encode())
    _check(done, str(target))


def detach(target: Path) -> None:
    """Take a mount, with all that is mounted on it, out of this namespace at once."""
    _check(_libc.umount2(os.fsencode(target), _MNT_DETACH | _UMOUNT_NOFOLLOW), str(target))


def mount_idmapped(source: Path, target: Path, user_namespace: int) -> None:
    """Show the tree mounted at ``source`` once more at ``target``, owners shifted as ``user_namespace`` maps them."""
    tree = _system_call(
        _SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(source), ctypes.c_uint(_OPEN_TREE_CLONE | os.O_CLOEXEC), path=source
    )
    try:
        set_bits = _MOUNT_ATTR_IDMAP | _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV
        attributes = struct.pack("QQQQ", set_bits, 0, 0, user_namespace)
        _system_call(
            _SYS_MOUNT_SETATTR,
            tree,
            b"",
            ctypes.c_uint(_AT_EMPTY_PATH),
            attributes,
            ctypes.c_size_t(len(attributes)),
            path=source,
        )
        flags = ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH)
        _system_call(_SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(target), flags, path=target)
    finally:
        os.close(tree)


@contextmanager
def files_owned_by(host_id: int) -> Iterator[None]:
    """Let this thread touch files as user and group ``host_id``, with every capability it has.

    An overlay remembers who mounted it and does its own work (copying up) as that user; on idmapped layers that user
    has to be one whom the mapping knows, or the kernel answers EOVERFLOW.
    """
    _set_file_ids(host_id)
    try:
        yield
    finally:
        _set_file_ids(0)


def join_ipc_namespace(pidfd: int) -> None:
    """Move this thread into the IPC namespace of a process. There is no way back: use a thread made for it."""
    _check(_libc.setns(pidfd, CLONE_NEWIPC), "ipc namespace")


def join_network_namespace(pidfd: int) -> None:
    """Move this thread into the network namespace of a process. There is no way back: use a thread made for it."""
    _check(_libc.setns(pidfd, _CLONE_NEWNET), "network namespace")


def become_thread_user(user_id: int) -> None:
    """Change the effective user of this thread alone. There is no way back: use a thread made for it."""
    number = _SYS_SETRESUID[os.uname().machine]
    unchanged = ctypes.c_uint(0xFFFFFFFF)
    # Not libc's own function, which changes every thread.
    _check(_libc.syscall(ctypes.c_long(number), unchanged, ctypes.c_uint(user_id), unchanged), "setresuid")


def _set_file_ids(host_id: int) -> None:
    _libc.setfsgid(ctypes.c_uint(host_id))
    _libc.setfsuid(ctypes.c_uint(host_id))
    # Neither call tells whether it worked; asked for an id that cannot be, they only tell the one that is.
    if _libc.setfsuid(ctypes.c_uint(0xFFFFFFFF)) != host_id or _libc.setfsgid(ctypes.c_uint(0xFFFFFFFF)) != host_id:
        raise PermissionError(f"the kernel did not let this thread touch files as {host_id}")
    _raise_effective_capabilities()


def _raise_effective_capabilities() -> None:
    """Make effective what is permitted: leaving file user id 0 had taken the file capabilities away."""
    header = struct.pack("Ii", _LINUX_CAPABILITY_VERSION_3, 0)
    data = ctypes.create_string_buffer(24)
    _check(_libc.capget(header, data), "capget")
    words = list(struct.unpack("6I", data.raw))
    words[0], words[3] = words[1], words[4]
    _check(_libc.capset(header, struct.pack("6I", *words)), "capset")


def _system_call(number: int, *arguments: Any, path: Path) -> int:
    return _check(_libc.syscall(ctypes.c_long(number), *arguments), str(path))


def _check(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), what)
    return result
