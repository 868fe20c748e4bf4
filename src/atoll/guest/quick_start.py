"""Starts programs of people's code from a small process: ``spawn.execute`` once more, as system calls in a row.

Each step is that of ``spawn``, and a test holds that a program sees no difference.
"""

import contextlib
import errno
import os
import signal
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from atoll.guest import spawn
from atoll.guest.options import People
from atoll.guest.vfork import Call, Vfork

_CLONE_PARENT: Final = 0x00008000
# Numbers of x86-64, the processor that ``Vfork`` knows.
_WRITE, _OPEN, _SIGACTION, _DUP2, _EXECVE, _CHDIR, _UMASK = 1, 2, 13, 33, 59, 80, 95
_SETSID, _SETGROUPS, _SETRESUID, _SETRESGID, _SETPRIORITY = 112, 116, 117, 119, 141
_PRCTL, _EXIT_GROUP, _PRLIMIT, _CLOSE_RANGE = 157, 231, 302, 436
_LAST_DESCRIPTOR: Final = 0xFFFFFFFF
_AS_IT_IS: Final = -1
_SIGNAL_DEFAULT: Final = bytes(32)  # a struct sigaction: no handler, flags, restorer or mask
_SIGNAL_MASK_BYTES: Final = 8
_NOT_HERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR})


class QuickStart:
    """Starts programs as children of this process's parent. Raises ``OSError`` where ``Vfork`` does."""

    def __init__(self, people: People) -> None:
        self._vfork = Vfork()
        self._people = people
        self._null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._environment = [os.fsencode(f"{name}={value}") for name, value in people.environment.items()]
        self._attributes, self._user = list(_attributes(people)), list(_user(people))

    def start(self, argv: Sequence[str], fds: Mapping[int, int]) -> int:
        """Give the process's number; see ``spawn.spawn``. This process's descriptors are higher than the program's.

        Raises ``OSError`` when there is no room for another process.
        """
        calls = [Call(_SETSID), *self._descriptors(fds), *self._attributes, *self._user]
        arguments = [os.fsencode(argument) for argument in argv]
        programs = [
            Call(_EXECVE, (os.fsencode(path), arguments, self._environment), may_fail=True)
            for path in _paths(argv[0], self._people.environment)
        ]
        end = Call(_EXIT_GROUP, (spawn.CANNOT_START,))
        pid, results = self._vfork.start([*calls, *programs, end], _CLONE_PARENT | signal.SIGCHLD)
        error = _error(calls, results, programs)
        if error:
            with contextlib.suppress(OSError):
                os.write(fds[2], spawn.complaint(os.strerror(error)))
        return pid

    def _descriptors(self, fds: Mapping[int, int]) -> Iterator[Call]:
        yield Call(_DUP2, (self._null, 0))
        for target, source in fds.items():
            yield Call(_DUP2, (source, target))
        yield Call(_CLOSE_RANGE, (max(fds) + 1, _LAST_DESCRIPTOR, 0))
        # This process may not be looked into, so its entries are its user's who owns the namespace: still its own.
        first_free = min(set(range(len(fds) + 2)) - {0, *fds})
        yield Call(_OPEN, (spawn.OOM_SCORE_ADJ.encode(), os.O_WRONLY | os.O_CLOEXEC), may_fail=True)
        yield Call(_WRITE, (first_free, spawn.KILLED_FIRST, len(spawn.KILLED_FIRST)), may_fail=True)


def _attributes(people: People) -> Iterator[Call]:
    for number in sorted(signal.valid_signals()):
        if signal.getsignal(number) is signal.SIG_IGN:  # of handlers none outlives the start of a program
            yield Call(_SIGACTION, (number, _SIGNAL_DEFAULT, 0, _SIGNAL_MASK_BYTES))
    for limit, value in spawn.limits(people).items():
        yield Call(_PRLIMIT, (0, limit, struct.pack("2Q", value, value), 0))
    nice = os.getpriority(os.PRIO_PROCESS, 0) + spawn.NICE
    yield Call(_SETPRIORITY, (os.PRIO_PROCESS, 0, nice), may_fail=True)
    yield Call(_UMASK, (spawn.UMASK,))
    yield Call(_PRCTL, (spawn.PR_SET_NO_NEW_PRIVS, 1))


def _user(people: People) -> Iterator[Call]:
    """Become people. What they may signal they may also stop, and this process would wait: that comes last."""
    uid, gid = people.uid, people.gid
    if uid is not None and gid is not None:
        yield Call(_SETGROUPS, (1, struct.pack("I", gid)))
        yield Call(_SETRESGID, (gid, gid, gid))
        yield Call(_SETRESUID, (_AS_IT_IS, uid, _AS_IT_IS))
    yield Call(_CHDIR, (b"/",))
    yield Call(_CHDIR, (os.fsencode(people.data_dir),), may_fail=True)
    if uid is not None:
        yield Call(_SETRESUID, (uid, uid, uid))
    yield Call(_PRCTL, (spawn.PR_SET_PDEATHSIG, signal.SIGKILL))


def _paths(program: str, environment: Mapping[str, str]) -> list[str]:
    if "/" in program:
        return [program]
    return [os.path.join(folder, program) for folder in os.get_exec_path(environment)]  # noqa: PTH118 - texts go on


def _error(calls: Sequence[Call], results: Sequence[int], programs: Sequence[Call]) -> int:
    """Give the number of the error that kept the program from starting, 0 where it has started."""
    for call, result in zip(calls, results, strict=False):
        if result < 0 and not call.may_fail:
            return -result
    tried = [-result for result in results[len(calls) : len(calls) + len(programs)]]
    if any(error <= 0 for error in tried):  # not an error: the row as it was written
        return 0
    return next((error for error in tried if error not in _NOT_HERE), tried[-1])
