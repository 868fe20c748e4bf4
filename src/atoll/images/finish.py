"""The last pass over a root file system, the same for built and imported ones: nothing in it that lends power.

No process of the image's runs any more, so the tree holds still. Set-id bits and file capabilities go (no_new_privs
makes them useless inside; a file of root's on the host with such a bit must not exist at all), and so do devices,
FIFOs and sockets. What a sandbox counts on is put in: the user, the places for data and agent.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from atoll.images.errors import ArchiveError
from atoll.images.progress import Stage
from atoll.images.rootfs import Rootfs

USER: Final = "sandbox"
USER_ID: Final = 1000
_FIRST_ID_TOO_HIGH: Final = 65536
_ENTRIES_EACH_REPORT: Final = 2000
_ENTRIES_EXPECTED: Final = 20_000
_BLOCK_BYTES: Final = 512
_SET_IDS: Final = stat.S_ISUID | stat.S_ISGID
_ACCOUNTS_BYTES_MAX: Final = 1 << 20
_PASSWD_LINE: Final = f"{USER}:x:{USER_ID}:{USER_ID}::/home/{USER}:/bin/bash"
_GROUP_LINE: Final = f"{USER}:x:{USER_ID}:"


def disarm(root: Path, stage: Stage) -> int:
    """Take the power out of every file and give the size of them all in bytes, as the disk counts.

    Raises ``ArchiveError`` for a file whose owner no sandbox can have.
    """
    size = 0
    counted: set[int] = set()
    for done, path in enumerate(_entries(root)):
        status = path.lstat()
        _disarm_one(path, status)
        if status.st_ino not in counted:
            size += status.st_blocks * _BLOCK_BYTES
        if status.st_nlink > 1:
            counted.add(status.st_ino)
        if done % _ENTRIES_EACH_REPORT == 0:
            stage.at(done, done + _ENTRIES_EXPECTED)
    return size


def _entries(root: Path) -> Iterator[Path]:
    """Give the root and everything below it, links themselves and not what they lead to."""
    yield root
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            yield Path(folder, name)


def _disarm_one(path: Path, status: os.stat_result) -> None:
    mode = status.st_mode
    if status.st_uid >= _FIRST_ID_TOO_HIGH or status.st_gid >= _FIRST_ID_TOO_HIGH:
        raise ArchiveError(f"{path} belongs to {status.st_uid}:{status.st_gid}; a sandbox has the ids 0..65535.")
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
        path.unlink()
        return
    for name in os.listxattr(path, follow_symlinks=False):
        os.removexattr(path, name, follow_symlinks=False)
    if mode & _SET_IDS and not stat.S_ISLNK(mode):
        path.chmod(stat.S_IMODE(mode) & ~_SET_IDS)


def furnish(rootfs: Rootfs) -> None:
    """Put in what every sandbox counts on: user and group ``sandbox`` (1000), a home, ``/mnt/data``, ``/opt/atoll``."""
    for path, line, column in (("/etc/passwd", _PASSWD_LINE, 2), ("/etc/group", _GROUP_LINE, 2)):
        before = (rootfs.read(path, _ACCOUNTS_BYTES_MAX) or b"").decode("utf-8", "surrogateescape")
        after = _with_account(before, line, column)
        if after != before:
            rootfs.write(path, after.encode("utf-8", "surrogateescape"))
    rootfs.make_folder(f"/home/{USER}", owner=USER_ID)
    rootfs.make_folder("/mnt/data", owner=USER_ID)
    rootfs.make_folder("/tmp", owner=0, mode=0o1777)  # noqa: S108 - the image's
    for path in ("/opt/atoll", "/proc", "/sys", "/dev", "/run"):
        rootfs.make_folder(path, owner=0)


def _with_account(content: str, line: str, id_column: int) -> str:
    """Give account lines in which ours is the only one with its name and the only one with its id."""
    fields = line.split(":")
    name, number = fields[0], fields[id_column]
    lines = content.splitlines()
    if line in lines:
        return content
    kept = [other for other in lines if not _same_account(other.split(":"), name, number, id_column)]
    return "\n".join([*kept, line]) + "\n"


def _same_account(fields: list[str], name: str, number: str, id_column: int) -> bool:
    return fields[0] == name or (len(fields) > id_column and fields[id_column] == number)
