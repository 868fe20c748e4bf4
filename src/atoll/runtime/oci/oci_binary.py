"""Runs the OCI runtime's program (runc, crun and their like)."""

import fcntl
import json
import logging
import os
import select
import signal
import subprocess
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)

_RUN_TIMEOUT_S: Final = 60.0
_DELETE_TIMEOUT_S: Final = 30.0
_LOG_BYTES_MAX: Final = 16 << 10
# The agent's listening socket: the first descriptor after the standard ones, the only other one it gets.
_LISTEN_FD: Final = 3
# Deleting is a program started and up to a tenth of a second waited, which is more than all the rest of an end.
_KEEPING_ONLY_FILES: Final = frozenset({"runc", "crun"})


class OciRuntimeFailedError(Exception):
    """The program did not do it; the message is its own last words."""


class OciBinary:
    """One OCI runtime with a state folder of its own."""

    def __init__(self, program: str, state_dir: Path) -> None:
        self.program = program
        self._state_dir = state_dir

    @property
    def leaves_only_files(self) -> bool:
        """Whether processes, cgroup and state folder are all that is ever left, so that nobody has to be asked."""
        return Path(self.program).name in _KEEPING_ONLY_FILES

    def run(self, sandbox_id: str, bundle: Path, *, listener: int, output: int) -> int:
        """Make a sandbox from ``bundle`` and start its process with ``listener`` as descriptor 3; give its pid.

        Raises ``OciRuntimeFailedError``; something of the sandbox may be left then, for :meth:`delete`.
        """
        return self._make(["run", "--detach", "--preserve-fds=1"], sandbox_id, bundle, listener=listener, output=output)

    def create(self, sandbox_id: str, bundle: Path, *, output: int) -> int:
        """Make a sandbox from ``bundle`` and start nothing in it; give the pid of the runtime's process waiting there.

        Raises ``OciRuntimeFailedError`` as ``run`` does.
        """
        return self._make(["create"], sandbox_id, bundle, listener=None, output=output)

    def _make(self, command: list[str], sandbox_id: str, bundle: Path, *, listener: int | None, output: int) -> int:
        log, pid_file = bundle / "runtime.log", bundle / "pid"
        arguments = [
            *self._global_arguments(log),
            *command,
            f"--bundle={bundle}",
            f"--pid-file={pid_file}",
            sandbox_id,
        ]
        status = _spawn_and_wait(arguments, listener=listener, output=output)
        if status != 0:
            raise OciRuntimeFailedError(f"{self.program} {command[0]} ended with {status}: {_last_words(log)}")
        return int(pid_file.read_text())

    def delete(self, sandbox_id: str, log: Path) -> None:
        """Remove what is left of a sandbox, ending its processes; one that it does not know is left alone."""
        if not (self._state_dir / sandbox_id).exists():
            return
        arguments = [*self._global_arguments(log), "delete", "--force", sandbox_id]
        try:
            subprocess.run(
                arguments, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=_DELETE_TIMEOUT_S
            )
        except (subprocess.SubprocessError, OSError) as error:
            raise OciRuntimeFailedError(f"{self.program} delete: {error}: {_last_words(log)}") from error

    def _global_arguments(self, log: Path) -> list[str]:
        return [self.program, f"--root={self._state_dir}", f"--log={log}", "--log-format=json"]


def _spawn_and_wait(arguments: list[str], *, listener: int | None, output: int) -> int:
    """Run a program with the descriptors laid out for it; give its exit status, or minus the signal that ended it.

    ``posix_spawn`` and not ``subprocess``: this process has threads, and only here can a descriptor be given the
    number 3. The program dies with this thread, so that a killed supervisor leaves nothing that still builds.
    """
    # A descriptor that has its number already would keep its close-on-exec mark.
    high_listener = fcntl.fcntl(output if listener is None else listener, fcntl.F_DUPFD_CLOEXEC, 10)
    inherited = [] if listener is None else [(os.POSIX_SPAWN_DUP2, high_listener, _LISTEN_FD)]
    try:
        pid = os.posix_spawnp(
            "setpriv",
            ["setpriv", "--pdeathsig=KILL", "--", *arguments],
            {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
                *inherited,
            ],
            # A group of its own: Ctrl-C in the operator's terminal is for the supervisor, which finishes what it does.
            setpgroup=0,
            # Python ignores these two, and what is ignored stays so in programs that are started.
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
        )
    finally:
        os.close(high_listener)
    return _wait(pid)


def _wait(pid: int) -> int:
    pidfd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(_RUN_TIMEOUT_S * 1000):
            _log.error("the OCI runtime did not end in %s s and is killed", _RUN_TIMEOUT_S)
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    finally:
        os.close(pidfd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _last_words(log: Path) -> str:
    """Give the last message of a runtime's log, for our own log: it may quote what a sandbox named."""
    try:
        with log.open("rb") as file:
            lines = file.read(_LOG_BYTES_MAX).splitlines()
        return repr(json.loads(lines[-1])["msg"])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return "it said nothing"
