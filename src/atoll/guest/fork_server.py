"""A small process that forks for a large agent; see ``fork_client``.

A program of its own. It speaks over a ``SOCK_SEQPACKET`` socket, one question at a time: first what is said once, the
``People`` as JSON, answered by ``ready``. Then for each program its numbers for descriptors (``1 2``) and its
arguments, each after a zero byte, with as many descriptors; answered by the number of the process, or by ``-`` and the
number of an error. After the numbers a ``+`` says that not arguments come but a ``Program``.
"""

import sys

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])  # this interpreter is an isolated one

import ctypes
import json
import os
import platform
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from atoll.guest.options import People
from atoll.guest.program import Program
from atoll.guest.quick_start import QuickStart
from atoll.guest.spawn import execute, fork, launch, protect_memory

SOCKET_FD: Final = 3
MESSAGE_BYTES_MAX: Final = 160 * 1024
DESCRIPTORS_MAX: Final = 8
READY: Final = b"ready"
PROGRAM: Final = b"+"

_CLONE_PARENT: Final = 0x00008000
_CLONE_NUMBERS: Final = {"x86_64": 56, "aarch64": 220}

# Held by the interpreter while it forks, as os.fork() does it.
_LIBC: Final = ctypes.PyDLL(None, use_errno=True)


def can_run() -> bool:
    """Tell whether this kind of processor is known here."""
    return platform.machine() in _CLONE_NUMBERS


def main() -> None:
    """Fork when asked, until the agent is gone."""
    protect_memory()
    agent = socket.socket(fileno=SOCKET_FD)
    people = People(**json.loads(agent.recv(MESSAGE_BYTES_MAX)))
    start = _starter(people)
    agent.send(READY)
    while True:
        message, descriptors, _, _ = socket.recv_fds(agent, MESSAGE_BYTES_MAX, DESCRIPTORS_MAX)
        if not message:
            return
        targets, *arguments = message.split(b"\0")
        fds = dict(zip(map(int, targets.removesuffix(PROGRAM).split()), descriptors, strict=True))
        try:
            if targets.endswith(PROGRAM):
                number = fork(partial(launch, Program.decoded(arguments), fds, people), how=fork_sibling)
            else:
                number = start([os.fsdecode(argument) for argument in arguments], fds)
        except OSError as error:
            number = -(error.errno or 0)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        agent.send(str(number).encode())


def _starter(people: People) -> Callable[[Sequence[str], Mapping[int, int]], int]:
    """Give the quickest way to start a program that there is here."""
    try:
        return QuickStart(people).start
    except OSError:
        return lambda argv, fds: fork(partial(execute, argv, fds, people), how=fork_sibling)


def fork_sibling() -> int:
    """Fork a child of this process's parent; else as ``os.fork``. Raises ``OSError``."""
    number = _CLONE_NUMBERS[platform.machine()]
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = _LIBC.syscall(*map(ctypes.c_long, (number, _CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)))
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0
    error = ctypes.get_errno()
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(error, os.strerror(error))
    return int(pid)


if __name__ == "__main__":
    main()
