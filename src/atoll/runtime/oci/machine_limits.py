"""Raises what the whole machine has one number for and no cgroup can share out: open files, process numbers, inotify.

A sandbox's processes may each open thousands of files, together more than many a kernel's default for all of the
machine; from then on nobody else but root could open one, the server's connections neither. What inotify gives counts
against the user who made the user namespace too, which is the host's root for every sandbox: 128 instances for all of
them together, and for root's own programs. What any of it costs is memory that counts against the sandbox, so memory
is bound enough. systemd raises the first two in the same way.
"""

import logging
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)

LEAST: Final = {
    "fs/file-max": (1 << 63) - 1,
    "fs/inotify/max_user_instances": (1 << 31) - 1,
    "fs/inotify/max_user_watches": (1 << 31) - 1,
    "kernel/pid_max": 1 << 22,
}
_PROC_SYS: Final = Path("/proc/sys")


def raise_all(root: Path = _PROC_SYS) -> None:
    """Raise each that is lower; where that is not allowed, say so in the log."""
    for name, least in LEAST.items():
        path = root / name
        try:
            if int(path.read_text()) < least:
                path.write_text(str(least))
        except OSError as error:
            setting = name.replace("/", ".")
            _log.warning("cannot raise %s (%s): sandboxes could use it up for the machine", setting, error.strerror)
