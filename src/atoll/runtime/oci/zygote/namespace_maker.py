"""Makes user namespaces that belong to the zygote's user, so that its forks may enter them.

A process has every capability in a user namespace that its own effective user made. So a small helper runs as that
user, and forks a child for each namespace. The helper must not be reached by the zygote, a stranger of the same user
who could otherwise write to its memory: it is undumpable before it is that user and never runs another program.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from atoll.runtime.oci.zygote.account import Account

_ANSWER_TIMEOUT_S: Final = 10.0
_PID_BYTES_MAX: Final = 16

# Started as root, so that it can read its interpreter wherever that is. One child a namespace: unshare cannot be
# undone. The child waits until the maps are written and its descriptor is taken, and goes with its helper.
_HELPER: Final = """
import ctypes, os, resource, signal, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def prctl(option, value):
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
uid, gid, control = int(sys.argv[1]), int(sys.argv[2]), socket.socket(fileno=int(sys.argv[3]))
# What the maker may have of processes, all sandboxes in its namespaces may have together.
_, most = resource.getrlimit(resource.RLIMIT_NPROC)
resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
os.setgroups([])
os.setresgid(gid, gid, gid)
os.setresuid(uid, uid, uid)
prctl(4, 0)   # PR_SET_DUMPABLE; the change of user has done it already where the host does not say otherwise
prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
control.send(b"ready")
while control.recv(1):
    helper = os.getpid()
    if os.fork() == 0:
        try:
            if libc.unshare(0x10000000):  # CLONE_NEWUSER
                os._exit(1)
            prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
            if os.getppid() != helper:
                os._exit(1)
            control.send(str(os.getpid()).encode())
            signal.pause()
        finally:
            os._exit(1)
"""


class NamespaceMakerError(OSError):
    """The helper is gone or the kernel makes no user namespace."""


class NamespaceMaker:
    """One helper process; calls for different sandboxes wait for each other, for a millisecond."""

    def __init__(self, account: Account) -> None:
        """Raise ``OSError``."""
        own, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-", str(account.uid), str(account.gid), str(its.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=[its.fileno()],
                cwd="/",
                env={},
            )
            assert self._process.stdin is not None  # noqa: S101 - narrows PIPE for mypy
            with suppress(BrokenPipeError), self._process.stdin as program:
                program.write(_HELPER.encode())
        self._control = own
        self._control.settimeout(_ANSWER_TIMEOUT_S)
        self._lock = threading.Lock()
        try:
            said = self._control.recv(_PID_BYTES_MAX)
        except OSError:
            said = b""
        if said != b"ready":
            self.close()
            raise NamespaceMakerError("the maker of user namespaces does not start")

    @property
    def has_ended(self) -> bool:
        """Whether it is of no more use."""
        return self._process.poll() is not None

    @contextmanager
    def mapping(self, first_host_id: int, count: int) -> Iterator[int]:
        """Give a descriptor of a namespace that maps ids 0 to ``count`` - 1 to those from ``first_host_id`` on."""
        with self._lock:
            namespace = self._make(first_host_id, count)
        try:
            yield namespace
        finally:
            os.close(namespace)

    def close(self) -> None:
        """End the helper."""
        self._process.kill()
        self._process.wait()
        self._control.close()

    def _make(self, first_host_id: int, count: int) -> int:
        try:
            self._control.send(b"1", socket.MSG_NOSIGNAL)
            answer = self._control.recv(_PID_BYTES_MAX)
        except OSError as error:
            raise NamespaceMakerError(f"the maker of user namespaces is gone: {error}") from error
        if not answer.isdigit():
            raise NamespaceMakerError("the maker of user namespaces is gone")
        child = os.pidfd_open(int(answer))
        process = Path(f"/proc/{int(answer)}")
        try:
            for name in ("uid_map", "gid_map"):
                (process / name).write_text(f"0 {first_host_id} {count}")
            return os.open(process / "ns/user", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(child, signal.SIGKILL)
            os.close(child)
