"""The first process of a sandbox, told apart from a later one that got the same number."""

import json
import os
import select
import signal
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

_STATE_BYTES_MAX: Final = 4096


class InitGoneError(Exception):
    """The process is not there any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InitIdentity:
    """``start_ticks`` is field 22 of ``/proc/PID/stat``; with the boot it makes the number unmistakable.

    ``kind`` says how it came to be; both are the first process of a sandbox's pid namespace and are kept alike.
    """

    pid: int
    start_ticks: int
    boot_id: str
    slot: int
    kind: Literal["cold", "forked"] = "cold"

    def write(self, path: Path) -> None:
        """Keep it for the next supervisor; whole or not at all."""
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(asdict(self)))
        unfinished.rename(path)

    @classmethod
    def read(cls, path: Path) -> "InitIdentity | None":
        """Give what was kept, ``None`` when nothing was or it makes no sense."""
        try:
            with path.open("rb") as file:
                value = json.loads(file.read(_STATE_BYTES_MAX))
            return cls(
                pid=int(value["pid"]),
                start_ticks=int(value["start_ticks"]),
                boot_id=str(value["boot_id"]),
                slot=int(value["slot"]),
                kind="forked" if value.get("kind") == "forked" else "cold",
            )
        except (OSError, ValueError, TypeError, KeyError):
            return None


def boot_id() -> str:
    """Give the kernel's name for the time since it was started."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class InitProcess:
    """A handle on a sandbox's first process, good until :meth:`close`."""

    def __init__(self, pid: int, sandbox_id: str) -> None:
        """Take hold of a process that is in the sandbox's cgroup. Raises ``InitGoneError``."""
        self._is_closed = False
        try:
            self.pidfd = os.pidfd_open(pid)
        except OSError as error:
            raise InitGoneError(f"no process {pid}") from error
        try:
            # Read after the descriptor is held: from now on the number cannot come to mean another process
            # without the descriptor showing that ours ended.
            groups = Path(f"/proc/{pid}/cgroup").read_text()
            self.start_ticks = _start_ticks(Path(f"/proc/{pid}/stat").read_text())
        except OSError as error:
            os.close(self.pidfd)
            raise InitGoneError(str(error)) from error
        if self.has_ended or not any(line.endswith(f"/{sandbox_id}") for line in groups.splitlines()):
            os.close(self.pidfd)
            raise InitGoneError(f"process {pid} is not the sandbox's any more")
        self.pid = pid

    @property
    def has_ended(self) -> bool:
        """Whether it and, being the first of its pid namespace, all other processes in there are gone."""
        return self.wait(0)

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end of everything inside; ``False`` when time ran out. True once the handle is let go of."""
        if self._is_closed:
            return True
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def kill(self) -> None:
        """End it, and with it everything in its pid namespace."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def close(self) -> None:
        """Let go of the handle, which is for when the process has ended; a child of this process's is collected."""
        self._is_closed = True
        with suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG)
        os.close(self.pidfd)


def adopt(identity: InitIdentity, sandbox_id: str) -> InitProcess:
    """Take hold of the process that ``identity`` names and of no other. Raises ``InitGoneError``."""
    if identity.boot_id != boot_id():
        raise InitGoneError("the machine was started since")
    process = InitProcess(identity.pid, sandbox_id)
    if process.start_ticks != identity.start_ticks:
        process.close()
        raise InitGoneError(f"the number {identity.pid} is another process's now")
    return process


def _start_ticks(stat: str) -> int:
    # The second field is the program's name in parentheses and may hold anything, spaces and parentheses too.
    return int(stat.rpartition(")")[2].split()[19])
