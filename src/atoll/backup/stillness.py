"""Whether anything was written to a disk while it was copied: told by the time of its file's last change.

A copy during which nothing was written is of one moment, also without a hold: what a loop device writes changes the
file's times before it changes the file. They go by the ticks of the kernel's clock, so the last change has to be a
while ago; and a write that has changed them already may still be on its way, which the loop device tells.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atoll.runtime.oci import loop_device

_SETTLED_S: Final = 2.0

Pause = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Stillness:
    """A disk that stood still when this was made."""

    path: Path
    changed_at: tuple[int, int, int, int]

    def has_lasted(self) -> bool:
        """Tell whether nothing was written since. Raises ``OSError``."""
        return _changed_at(self.path) == self.changed_at


def settled(path: Path, pause: Pause) -> Stillness | None:
    """Bring all that was written onto the machine's disks; ``None`` when this one is written to even so.

    The disk's folder has the sandbox's name. Raises ``OSError``.
    """
    os.sync()
    if not _is_old(path):
        pause(_SETTLED_S)
    changed_at = _changed_at(path)
    if not _is_old(path) or loop_device.is_writing(path.parent.name):  # in this order: what begins later is seen later
        return None
    return Stillness(path, changed_at)


def _is_old(path: Path) -> bool:
    return time.time() - path.stat().st_mtime >= _SETTLED_S


def _changed_at(path: Path) -> tuple[int, int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
