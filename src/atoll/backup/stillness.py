"""Whether anything was written to a disk while it was copied: told by the time of its file's last change.

A copy during which nothing was written is of one moment, also without a hold: what a loop device writes changes the
file's times like any other write. They go by the ticks of the kernel's clock, and a write that has begun has changed
them already, so a disk stands still only when its last change was a while ago.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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

    Raises ``OSError``.
    """
    os.sync()
    if not _is_old(path):
        pause(_SETTLED_S)
    changed_at = _changed_at(path)
    return Stillness(path, changed_at) if _is_old(path) else None


def _is_old(path: Path) -> bool:
    return time.time() - path.stat().st_mtime >= _SETTLED_S


def _changed_at(path: Path) -> tuple[int, int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
