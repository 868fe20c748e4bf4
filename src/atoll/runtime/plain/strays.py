"""The second net: ending what is left of a sandbox whose keeper was killed.

Its processes are no one's descendants then; they are known by the home folder in their environment, which is the
sandbox's own. A process that changed its environment as well is not found: there are no walls here.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path


def end_strays(home: Path) -> None:
    """Kill every process that was started with this home, until no more are found."""
    mark = b"HOME=" + os.fsencode(home)
    while pids := [pid for pid in _pids() if _carries(pid, mark)]:
        for pid in pids:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _carries(pid: int, mark: bytes) -> bool:
    """Tell whether a process has the mark; a dead one has no environment any more."""
    with suppress(OSError):
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False
