"""Being somebody else: root's ways of working as the server's ordinary user."""

import ctypes
import os
import pwd
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38


class UserError(Exception):
    """The user to run as is missing or cannot do its work; the message says what to do."""


@dataclass(frozen=True, slots=True)
class SystemUser:
    """An account of this machine."""

    name: str
    uid: int
    gid: int


def find_user(name: str) -> SystemUser:
    """Look an account up. Raises ``UserError`` when it is missing or is root."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise UserError(
            f"There is no system user {name!r} for the server to run as. Make it with\n"
            f"  useradd --system --no-create-home --shell /usr/sbin/nologin {name}\n"
            "or name another with --user."
        ) from None
    if entry.pw_uid == 0:
        raise UserError("The server does not run as root: name an ordinary user with --user.")
    return SystemUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def owner_of(data_dir: Path, user: str) -> SystemUser:
    """Give who owns an instance's database: the folder's owner, or ``user`` where that is root.

    Raises ``UserError``.
    """
    uid = data_dir.stat().st_uid
    if uid == 0:
        return find_user(user)
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise UserError(f"{data_dir} belongs to uid {uid}, which no account of this machine has.") from None
    return SystemUser(entry.pw_name, uid, entry.pw_gid)


@contextmanager
def acting_as(user: SystemUser | None) -> Iterator[None]:
    """Touch files as ``user`` would (``None``: as oneself), so that a link it laid cannot lead root astray.

    Only for a process with one thread: effective ids are the whole process's.
    """
    if user is None:
        yield
        return
    groups = os.getgroups()
    os.setgroups([user.gid])
    os.setegid(user.gid)
    os.seteuid(user.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def become(user: SystemUser) -> None:
    """Turn root into ``user`` for good, with no way back and no way to gain anything by exec.

    The process stays undumpable, as the kernel makes it here: another process of the same user cannot trace it.
    """
    os.setgroups([user.gid])
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def end_with_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process when its parent goes, however it goes.

    Must be asked again after ``become``: a change of ids clears it. Raises ``ProcessLookupError`` when the parent
    is gone already.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        raise ProcessLookupError("the process that started this one is gone")


def _prctl(option: int, argument: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(argument), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
