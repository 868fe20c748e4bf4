"""Starts processes of people's code: another user, limits, a clean environment, and nothing of the agent's in them."""

import contextlib
import ctypes
import fcntl
import os
import resource
import signal
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NoReturn

from atoll.guest.options import People
from atoll.guest.program import REPORT_FD, NotStarted, Program, Step

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_CHILD_SUBREAPER: Final = 36
PR_SET_NO_NEW_PRIVS: Final = 38

# People's code yields to the agent, so that a fork bomb can still be stopped quickly.
NICE: Final = 5
UMASK: Final = 0o022
OOM_SCORE_ADJ: Final = "/proc/self/oom_score_adj"
KILLED_FIRST: Final = b"1000"
# Timers and queued signals count against the user who made the user namespace too, which is the host's root for every
# sandbox: at the kernel's default one sandbox takes them all, and no program of root's gets a timer any more.
_SIGNALS_PENDING_MAX: Final = 1024
CANNOT_START: Final = 127
_RESET: Final = frozenset(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}


def protect_agent() -> None:
    """Make the agent's memory unreadable to others, orphans of people's code its children, and bound what all share."""
    protect_memory()
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    pending = _lower(resource.RLIMIT_SIGPENDING, _SIGNALS_PENDING_MAX)
    if pending is not None:
        resource.setrlimit(resource.RLIMIT_SIGPENDING, (pending, pending))


def protect_memory() -> None:
    """Make this process's memory unreadable to others."""
    _LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


@contextlib.contextmanager
def acting_as(people: People) -> Iterator[None]:
    """Touch files with people's rights for a moment; their processes still cannot signal the agent (real uid stays)."""
    if people.uid is None or people.gid is None:
        yield
        return
    os.setegid(people.gid)
    os.seteuid(people.uid)
    try:
        yield
    finally:
        os.seteuid(os.getuid())
        os.setegid(os.getgid())


def become(people: People) -> None:
    """In a forked child of the agent: touch files with people's rights for good, out of reach of their signals."""
    if people.uid is not None and people.gid is not None:
        os.setresgid(os.getgid(), people.gid, os.getgid())
        os.setresuid(os.getuid(), people.uid, os.getuid())
    os.umask(0o022)


def fork(in_child: Callable[[], None], *, how: Callable[[], int] = os.fork) -> int:
    """Fork; the child runs ``in_child`` with default signals and ends there, whatever happens. Raises ``OSError``."""
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, _RESET)
    try:
        pid = how()
        if pid == 0:
            _run_child(in_child)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
    return pid


def spawn(argv: Sequence[str], fds: Mapping[int, int], people: People) -> int:
    """Start a program in a session of its own, in the data folder.

    ``fds`` maps the child's descriptor numbers to the agent's; stdin is ``/dev/null``. A program that cannot be started
    says so on its stderr and exits 127. Raises ``OSError`` when there is no room for another process.
    """
    return fork(lambda: execute(argv, fds, people))


def execute(argv: Sequence[str], fds: Mapping[int, int], people: People) -> None:
    """In a forked child: become a program of people's code."""
    _become_people(fds, people)
    os.execvpe(argv[0], list(argv), people.environment)  # noqa: S606 - a list of arguments, no shell: as it should be


def launch(program: Program, fds: Mapping[int, int], people: People) -> None:
    """In a forked child: become a program of people's code, or say on ``REPORT_FD``, one of ``fds``, why not.

    A terminal that is its standard input becomes its session's own.
    """
    _become_people(fds, people)
    os.set_inheritable(REPORT_FD, False)
    environment = people.environment | program.environment
    step: Step = "cwd"
    try:
        if program.cwd:
            os.chdir(program.folder_in(people.data_dir))
        step = "argv"
        os.execvpe(program.argv[0], program.argv, environment)  # noqa: S606 - no shell: as it should be
    except OSError as error:
        os.write(REPORT_FD, NotStarted(step, error.errno or 0).encoded())
        os._exit(CANNOT_START)


def settle(run: Callable[[], None], fds: Mapping[int, int], people: People) -> int:
    """Fork a process of people's code as ``spawn`` does, that goes on with ``run``. Raises ``OSError``."""

    def in_child() -> None:
        _become_people(fds, people)
        run()

    return fork(in_child)


def _run_child(in_child: Callable[[], None]) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        for number in _RESET:
            if signal.getsignal(number) is not signal.SIG_DFL:
                with contextlib.suppress(OSError, ValueError):
                    signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        in_child()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - nothing may unwind into the parent's loop in this process
        with contextlib.suppress(BaseException):
            os.write(2, complaint(error))
    finally:
        os._exit(CANNOT_START)


def complaint(error: object) -> bytes:
    """Give what a program that cannot be started says in its own place."""
    return f"[atoll] The process could not be started: {error}\n".encode(errors="replace")


def _become_people(fds: Mapping[int, int], people: People) -> None:
    os.setsid()
    place_descriptors(fds)
    if 0 in fds and os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    _limit(people)
    _drop(people)
    _LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    try:
        os.chdir(people.data_dir)
    except OSError:
        os.chdir("/")


def place_descriptors(fds: Mapping[int, int]) -> None:
    """Put each descriptor where the child expects it and close all others."""
    first_free = max(fds) + 1
    above = {target: _duplicate_above(source, first_free) for target, source in fds.items()}
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    for target, source in above.items():
        os.dup2(source, target)
    os.closerange(first_free, os.sysconf("SC_OPEN_MAX"))


def _duplicate_above(fd: int, lowest: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, lowest)


def _limit(people: People) -> None:
    for limit, value in limits(people).items():
        resource.setrlimit(limit, (value, value))
    # A process that others may not look into does not own its own /proc entries; the agent is such a one. People's
    # processes still cannot look in: until it has become one of theirs (which resets this), its user is another.
    _LIBC.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    with contextlib.suppress(OSError):
        descriptor = os.open(OOM_SCORE_ADJ, os.O_WRONLY)
        try:
            os.write(descriptor, KILLED_FIRST)
        finally:
            os.close(descriptor)
    with contextlib.suppress(OSError):
        os.nice(NICE)
    os.umask(UMASK)


def limits(people: People) -> dict[int, int]:
    """Give the limits of people's processes that differ from this one's, which are never exceeded; soft and hard."""
    wanted = {
        # Less than a page, so no file is written; and not 0, with which the kernel still starts a host's core handler.
        resource.RLIMIT_CORE: 1,
        resource.RLIMIT_NOFILE: people.nofile_max,
        resource.RLIMIT_FSIZE: people.file_bytes_max,
    }
    return {limit: lower for limit, value in wanted.items() if (lower := _lower(limit, value)) is not None}


def _lower(limit: int, value: int) -> int | None:
    """Give the value that a limit has to be set to, ``None`` where it is that already."""
    soft, hard = resource.getrlimit(limit)
    ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
    return None if (soft, hard) == (ceiling, ceiling) else ceiling


def _drop(people: People) -> None:
    if people.uid is None or people.gid is None:
        return
    os.setgroups([people.gid])
    os.setresgid(people.gid, people.gid, people.gid)
    os.setresuid(people.uid, people.uid, people.uid)
