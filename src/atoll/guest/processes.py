"""Ends processes of people's code, all of them or one group, without touching the agent's own transfers."""

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

from atoll.guest.options import People

ENDING_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What asks the agent to end."""

_ROUNDS_MAX: Final = 64


def signal_group(pid: int, number: int) -> None:
    """Signal the process group that ``pid`` leads; what is gone is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def kill_all(people: People, is_ours: Callable[[int], bool]) -> None:
    """Kill every process of people's code. ``is_ours`` names the children that serve transfers.

    As PID 1 this is one ``kill(-1)``, which the kernel does under a lock that forks need too, so that no fork bomb
    outruns it. Elsewhere the agent is a subreaper, and all of them are its descendants.
    """
    if os.getpid() == 1 and people.uid is not None:
        _kill_all_of(people.uid)
    else:
        _kill_descendants(is_ours)


def _kill_all_of(uid: int) -> None:
    """Signal as ``uid`` what ``uid`` may signal; transfers keep the agent's real and saved uid and are spared.

    For this moment people's processes could signal the agent as well, but PID 1 takes no signal it has no handler
    for, not even SIGKILL, from inside its namespace. So the handlers that would end it are away meanwhile.
    """
    own = os.getuid()
    handlers = {number: signal.signal(number, signal.SIG_DFL) for number in ENDING_SIGNALS}
    os.setresuid(uid, uid, own)
    try:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(-1, signal.SIGKILL)
    finally:
        os.setresuid(own, own, own)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _kill_descendants(is_ours: Callable[[int], bool]) -> None:
    """Stop, look again, and kill once nothing new appears: a tree that forks while it is walked cannot slip away."""
    stopped: set[int] = set()
    for _ in range(_ROUNDS_MAX):
        fresh = _descendants(os.getpid(), is_ours) - stopped
        if not fresh:
            break
        for pid in fresh:
            _signal(pid, signal.SIGSTOP)
        stopped |= fresh
    for pid in stopped:
        _signal(pid, signal.SIGKILL)


def _descendants(root: int, is_ours: Callable[[int], bool]) -> set[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                # pid (comm) state ppid ...; comm may hold anything, so count from its last parenthesis
                fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
                if fields[0] != b"Z":
                    children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: set[int] = set()
    waiting = [pid for pid in children.get(root, []) if not is_ours(pid)]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, [])
    return found


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
