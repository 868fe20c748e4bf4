"""Makes user namespaces that belong to the zygote's user, so that its forks may enter them.

A process has every capability in a user namespace that its own effective user made. So a small helper forks a child
for each namespace, which becomes that user and makes it. The child keeps one power of root's until then: where
user namespaces of the unprivileged are forbidden or stripped of capabilities (Debian's ``unprivileged_userns_clone``,
AppArmor on Ubuntu), a maker that has CAP_SYS_ADMIN is let through. The zygote, a stranger of the same user, must not
reach it: it is undumpable before it is that user, never runs another program, and has nothing left on the host once
the namespace is there.
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
_ANSWER_BYTES_MAX: Final = 200

# Root, so that it can read its interpreter wherever that is. One child a namespace: unshare cannot be undone. The child
# waits until the maps are written and its descriptor is taken, and goes with its helper.
_HELPER: Final = """
import ctypes, os, resource, signal, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def check(result, what):
    if result:
        raise OSError(ctypes.get_errno(), what + ": " + os.strerror(ctypes.get_errno()))
def prctl(option, value):
    check(libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), "prctl")
def keep(*capabilities):
    mask = sum(1 << number for number in capabilities)  # all below 32; version 3 of the call
    check(libc.capset(struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", mask, mask, 0, 0, 0, 0)), "capset")
uid, gid, control = int(sys.argv[1]), int(sys.argv[2]), socket.socket(fileno=int(sys.argv[3]))
# What the maker may have of processes, all sandboxes in its namespaces may have together.
_, most = resource.getrlimit(resource.RLIMIT_NPROC)
resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
os.setgroups([])
prctl(4, 0)   # PR_SET_DUMPABLE
prctl(8, 1)   # PR_SET_KEEPCAPS, over the change of user
prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
keep(5, 6, 7, 21)  # CAP_KILL, for what goes with it; CAP_SETGID, CAP_SETUID, CAP_SYS_ADMIN
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
helper = os.getpid()
control.send(b"ready")
while control.recv(1):
    if os.fork() == 0:
        try:
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            prctl(4, 0)  # what a change of user makes of it is the host's setting
            keep(21)
            check(libc.unshare(0x10000000), "unshare")  # CLONE_NEWUSER
            prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
            if os.getppid() == helper:
                control.send(str(os.getpid()).encode())
                signal.pause()
        except OSError as error:
            control.send(str(error).encode())
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
            if self._hear() != b"ready":
                raise NamespaceMakerError("the maker of user namespaces does not start")
            os.close(self._make(account.uid, 1))  # better to know now whether it can than with every sandbox
        except OSError:
            self.close()
            raise

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
        with suppress(BrokenPipeError):
            self._control.send(b"1", socket.MSG_NOSIGNAL)
        answer = self._hear()
        if not answer.isdigit():
            reason = answer.decode(errors="replace") or "its maker is gone"
            raise NamespaceMakerError(f"there is no user namespace for the zygote's user: {reason}")
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

    def _hear(self) -> bytes:
        """Give the answer; nothing when the helper is gone, or gave none in time: it might come later, out of turn."""
        try:
            return self._control.recv(_ANSWER_BYTES_MAX)
        except OSError:
            self._process.kill()
            return b""
