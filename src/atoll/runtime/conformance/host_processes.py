"""A sandbox's processes as the host sees them, found by a mark, whatever namespaces they are in."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_AGENT: Final = b"atoll.guest"


def find_marked(mark: str) -> list[int]:
    """Give the ids of all processes with ``mark`` among their arguments, this one excepted."""
    return [pid for pid in _pids() if mark.encode() in _arguments(pid) and pid != os.getpid()]


def find_agent_above(pid: int) -> int | None:
    """Give the id of the agent process that is the highest above a process."""
    agent = None
    while pid > 1:
        pid = parent_of(pid)
        if _is_agent(_arguments(pid)):
            agent = pid
    return agent


def parent_of(pid: int) -> int:
    """Give the id of a process's parent, 0 when it is gone."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    return 0


def is_there(pid: int) -> bool:
    """Tell whether a process runs; one that is dead and not yet reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state not in {b"Z", b"X"}


def _is_agent(arguments: list[bytes]) -> bool:
    """Tell whether this is ``python [-option...] -m atoll.guest``, not a program that was only told to start it."""
    if _AGENT not in arguments:
        return False
    return all(argument.startswith(b"-") for argument in arguments[1 : arguments.index(_AGENT)])


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _arguments(pid: int) -> list[bytes]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return []
