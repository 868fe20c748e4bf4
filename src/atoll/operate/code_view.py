"""Letting the server's user read the program where its folders are closed to it, as a clone below /root is.

The server loads modules and data files after it became an ordinary user. Instead of opening anybody's home, the
process gets a mount namespace of its own, in which a closed folder holds the program's own folders and nothing else.
"""

import os
import sys
import sysconfig
from pathlib import Path

import atoll
from atoll import mounts
from atoll.mounts import Flags, Propagation
from atoll.operate.folders import first_closed
from atoll.operate.system_user import SystemUser, UserError


def open_to(user: SystemUser) -> None:
    """See to it that ``user`` can read the program in this process. To be called as root, with one thread.

    Raises ``UserError`` when that cannot be.
    """
    folders = _program_folders()
    hidden = {folder: closed for folder in folders if (closed := first_closed(folder, user)) is not None}
    if not hidden:
        return
    try:
        _mount_views(hidden)
    except OSError as error:
        closed = next(iter(hidden.values()))
        raise UserError(_explain(closed, user) + f" (A private view of it failed: {error.strerror}.)") from error
    for folder in hidden:
        closed_still = first_closed(folder, user)
        if closed_still is not None:
            raise UserError(_explain(closed_still, user))


def _explain(closed: Path, user: SystemUser) -> str:
    return (
        f"The user {user.name!r}, as which the server runs, cannot read {closed}, where Atoll's program is.\n"
        f"Open it (chmod -R o+rX {closed}) or move Atoll to a folder that all can read, such as /opt."
    )


def _program_folders() -> list[Path]:
    """Give every folder or file that Python loads from; outer ones first, none within another.

    A place on the path from which nothing was loaded does not count: it may be just where the command was given.
    """
    loaded = [file for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))]
    used = [place for place in sys.path if place and any(file.startswith(f"{place}/") for file in loaded)]
    fixed = (sys.prefix, sys.base_prefix, sysconfig.get_path("stdlib"), *atoll.__path__)
    candidates = {Path(place).absolute() for place in (*used, *fixed)}
    candidates |= {place.resolve() for place in candidates}
    found: list[Path] = []
    for place in sorted(candidates, key=lambda path: len(path.parts)):
        if place.exists() and not any(place.is_relative_to(outer) for outer in found):
            found.append(place)
    return found


def _mount_views(hidden: dict[Path, Path]) -> None:
    """Cover each closed folder by an empty one that holds only the program's folders."""
    mounts.unshare(Propagation.PRIVATE)
    sealed = Flags.REMOUNT | Flags.BIND | Flags.READ_ONLY | Flags.NOSUID | Flags.NODEV
    # Opened only now: the kernel binds nothing from another namespace's mounts.
    handles = {folder: os.open(folder, os.O_PATH | os.O_CLOEXEC) for folder in hidden}
    for closed in sorted(set(hidden.values()), key=lambda path: len(path.parts)):
        if closed in hidden:
            continue  # the folder itself is closed: no view of it would be open
        mounts.mount("tmpfs", closed, "tmpfs", Flags.NOSUID | Flags.NODEV, "mode=755,size=1m")
        for folder in (folder for folder, above in hidden.items() if above == closed):
            if Path(f"/proc/self/fd/{handles[folder]}").is_dir():
                folder.mkdir(parents=True, exist_ok=True)
            else:
                folder.parent.mkdir(parents=True, exist_ok=True)
                folder.touch()
            mounts.mount(f"/proc/self/fd/{handles[folder]}", folder, None, Flags.BIND | Flags.RECURSIVE)
        mounts.mount(None, closed, None, sealed)
    for handle in handles.values():
        os.close(handle)
