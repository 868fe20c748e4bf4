"""One fork of a zygote on its way to become a sandbox's agent, as the host sees it.

Nothing that it says is believed. Who speaks on the channel is told by the kernel (``SCM_CREDENTIALS``), and what that
process is, by its entries in the host's ``/proc``.
"""

import json
import os
import select
import signal
import socket
import struct
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Self

from atoll.runtime.oci import orphans
from atoll.runtime.oci.spec import CAPABILITIES

_TIMEOUT_S: Final = 10.0
_LOOK_AGAIN_MS: Final = 20
_MESSAGE_BYTES_MAX: Final = 256
_CREDENTIALS: Final = struct.Struct("3i")
# The numbers of linux/capability.h.
CAPABILITY_NUMBERS: Final = {"CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7}
# In the order in which the fork joins them.
_JOINED: Final = ("cgroup", "ipc", "net", "uts", "mnt")
NAMESPACES: Final = (*_JOINED, "pid", "user")


class BirthError(Exception):
    """The fork did not come to be, or is not what it should be."""


class Birth:
    """The host's end of a fork's channel. Close it."""

    def __init__(self) -> None:
        self._own, self.its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._own.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._own.settimeout(_TIMEOUT_S)
        self.pid = 0
        self.took_s = 0.0  # without what lies between its two steps, which is not its own
        self._began_at = time.perf_counter()
        self._pidfd: int | None = None
        self._made: os.stat_result | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """Let go; where it came to nothing, end and collect it."""
        self._own.close()
        self.its.close()
        if self._pidfd is not None:
            if error is not None:
                _end(self._pidfd)
            os.close(self._pidfd)

    def wait_until_born(self, user_namespace: int) -> None:
        """Wait for the first process of a new pid namespace inside ``user_namespace``. Raises ``BirthError``."""
        self.its.close()
        self.pid = self._hear(b"born")
        self.took_s += time.perf_counter() - self._began_at
        made = self._made = os.fstat(user_namespace)
        try:
            self._pidfd = os.pidfd_open(self.pid)
            entered = Path(f"/proc/{self.pid}/ns/user").stat()
            numbers = _status(self.pid)["NSpid"].split()
        except OSError as error:
            raise BirthError(f"the fork is gone: {error}") from error
        if not _is_same(entered, made) or len(numbers) < 2 or numbers[-1] != "1":
            raise BirthError("the fork is not in the namespaces that it should be in")

    def enter(self, arguments: list[str], log: int, runtime_pid: int) -> None:
        """Let it join the namespaces of the OCI runtime's process and become the agent. Raises ``BirthError``."""
        began_at = time.perf_counter()
        text = json.dumps({"arguments": arguments}).encode()
        with ExitStack() as opened:
            # Not the process itself: nobody but root may enter by a process that cannot be traced, as this one.
            try:
                namespaces = [_open(opened, Path(f"/proc/{runtime_pid}/ns/{name}")) for name in _JOINED]
                socket.send_fds(self._own, [text], [log, *namespaces], socket.MSG_NOSIGNAL)
            except OSError as error:
                raise BirthError(f"the fork is gone: {error}") from error
        if self._hear(b"ready") != self.pid:
            raise BirthError("another process speaks for the fork")
        self.took_s += time.perf_counter() - began_at

    def check_walls(self, runtime_pid: int, first_host_id: int) -> None:
        """Look at the agent from outside: it must be what the OCI runtime would have made. Raises ``BirthError``."""
        try:
            seen = _status(self.pid)
            wrong = [name for name in NAMESPACES if _namespace(self.pid, name) != _namespace(runtime_pid, name)]
            entered = Path(f"/proc/{self.pid}/ns/user").stat()
        except OSError as error:
            raise BirthError(f"the fork is gone: {error}") from error
        if not _is_same(entered, self._made):  # the OCI runtime went by what the fork is in
            wrong.append("user")
        ids = "\t".join([str(first_host_id)] * 4)
        mask = f"{sum(1 << CAPABILITY_NUMBERS[name] for name in CAPABILITIES):016x}"
        nothing = f"{0:016x}"
        expected = {
            "Uid": ids,
            "Gid": ids,
            "Groups": "",
            "NoNewPrivs": "1",
            "Seccomp": "2",
            "Threads": "1",
            "CapPrm": mask,
            "CapEff": mask,
            "CapBnd": mask,
            "CapInh": nothing,
            "CapAmb": nothing,
        }
        wrong += [name for name, value in expected.items() if seen.get(name) != value]
        if seen.get("Seccomp_filters", "2") != "2":  # the zygote's and the sandbox's own; Linux 5.9 begins to tell
            wrong.append("Seccomp_filters")
        if wrong:
            raise BirthError(f"the fork's walls are not what they should be: {', '.join(wrong)}")

    def _hear(self, word: bytes) -> int:
        """Wait for a word; give the pid of who said it."""
        space = socket.CMSG_SPACE(_CREDENTIALS.size)
        try:
            said, control, _, _ = self._own.recvmsg(_MESSAGE_BYTES_MAX, space, socket.MSG_CMSG_CLOEXEC)
        except OSError as error:
            raise BirthError(f"the fork says nothing: {error}") from error
        for level, kind, data in control:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS) and said == word:
                return int(_CREDENTIALS.unpack(data)[0])
        raise BirthError(f"the fork says {said!r}" if said else "the fork ended too early")


def _end(pidfd: int) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    deadline = time.monotonic() + _TIMEOUT_S
    while not poll.poll(_LOOK_AGAIN_MS) and time.monotonic() < deadline:
        orphans.collect()
    orphans.collect()


def _open(opened: ExitStack, namespace: Path) -> int:
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    opened.callback(os.close, descriptor)
    return descriptor


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _is_same(one: os.stat_result, other: os.stat_result | None) -> bool:
    return other is not None and (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def _namespace(pid: int, name: str) -> str:
    return str(Path(f"/proc/{pid}/ns/{name}").readlink())
