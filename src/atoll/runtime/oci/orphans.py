"""Collects processes of sandboxes that have ended and were given to this process, because whoever started them is gone.

A pid namespace does not end before everything that was in it is collected. What the OCI runtime leaves behind when it
fails in the middle is known to nobody by its number, so it is looked for.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")


def collect() -> None:
    """Collect every child that has ended in a pid namespace below this one; nobody here starts or awaits such a one."""
    for children in (_PROC / "self/task").glob("*/children"):
        for pid in _read(children).split():
            if _is_to_be_collected(_read(_PROC / pid / "status")):
                with suppress(ChildProcessError):
                    os.waitpid(int(pid), os.WNOHANG)


def _is_to_be_collected(status: str) -> bool:
    fields = {name: value.split() for name, _, value in (line.partition(":") for line in status.splitlines())}
    return fields.get("State", [])[:1] == ["Z"] and len(fields.get("NSpid", [])) > 1


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
