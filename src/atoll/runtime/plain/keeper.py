"""The program above a sandbox's agent: it ends the whole tree when the agent or the server ends.

Run as ``python -I -S keeper.py LISTEN_FD LOCK_FD PROGRAM [ARGUMENT...]``, in a session of its own; imports nothing of
the project. Standard input is a pipe that the server keeps open and never writes to: its end is the order to stop.
``LOCK_FD`` is only held: whoever waits for its lock knows then that nothing of the sandbox runs any more.

Killing a process group or session would miss whoever called ``setsid``, and a mark in the environment whoever
changed it. As a child subreaper the keeper instead stays the ancestor of every process that people's code starts,
daemons included. Code that kills the keeper itself (as no walls forbid it) takes the agent with it, by its
parent-death signal; ``strays`` then ends what else can be found.
"""

import ctypes
import os
import select
import signal
import sys
import time
from contextlib import suppress

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_KILLING_S_MAX = 10.0
_PAUSE_S = 0.005
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main() -> None:
    """Run the agent until it ends or the order to stop comes, then end everything below."""
    listen_fd, lock_fd, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    os.set_inheritable(lock_fd, False)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, *_STOP_SIGNALS):
        signal.signal(number, lambda *_: None)
    agent_pid = _spawn(command, listen_fd)
    os.close(listen_fd)  # so that a connection is refused as soon as the agent is gone
    while True:
        readable, _, _ = select.select([0, wake_read], [], [])
        signals = os.read(wake_read, 4096) if wake_read in readable else b""
        if 0 in readable or agent_pid in _reap() or any(number in signals for number in _STOP_SIGNALS):
            break
    _end_descendants()


def descendants(ancestor_pid: int) -> list[int]:
    """Give the process ids below one, as they are now."""
    children: dict[int, list[int]] = {}
    with os.scandir("/proc") as entries:
        names = [entry.name for entry in entries if entry.name.isdecimal()]
    for name in names:
        # pathlib is not worth its import here: every start of a sandbox would wait for it.
        with suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123
            parent = int(stat.read().rpartition(b")")[2].split()[1])
            children.setdefault(parent, []).append(int(name))
    found, pending = [], [ancestor_pid]
    while pending:
        below = children.get(pending.pop(), [])
        found += below
        pending += below
    return found


def _spawn(command: list[str], listen_fd: int) -> int:
    keeper_pid = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper_pid:
            os._exit(127)
        # The agent, too, is to see whoever people's code leaves behind: it must be able to end them on restart.
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        os.set_inheritable(listen_fd, True)
        null_fd = os.open(os.devnull, os.O_RDWR)
        os.dup2(null_fd, 0)
        os.dup2(null_fd, 1)
        os.execv(command[0], command)  # noqa: S606 - a program and its arguments, as given by the server
    finally:
        os._exit(127)


def _reap() -> set[int]:
    pids = set()
    with suppress(ChildProcessError):
        while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            pids.add(pid)
    return pids


def _end_descendants() -> None:
    give_up_at = time.monotonic() + _KILLING_S_MAX
    while time.monotonic() < give_up_at:
        for pid in descendants(os.getpid()):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        _reap()
        if not _has_children():  # orphans come to us, so that no child means no descendant
            return
        time.sleep(_PAUSE_S)


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    main()
