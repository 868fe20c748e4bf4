"""One ``shell`` operation: its commands one after the other, each in a session of its own.

A command ends when its ``bash`` ends and what it wrote by then has been read; background processes that keep its
pipes go on, and what they write later is thrown away.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from atoll.guest import pipes
from atoll.guest.connection import Connection
from atoll.guest.fork_client import ForkClient
from atoll.guest.network_hint import NETWORK_HINT, NetworkHint
from atoll.guest.output import STDERR, STDOUT, BoundedOutput
from atoll.guest.pid_count import PidCount
from atoll.guest.processes import signal_group
from atoll.guest.program_pipes import ProgramPipes
from atoll.guest.protocol import FrameType, encode_json
from atoll.guest.reactor import ChildEnd, Reactor, Timer
from atoll.guest.requests import ShellRequest, StopReason
from atoll.guest.room import FULL_NOTE, Room
from atoll.guest.streams import send_text

GRACE_S: Final = 2.0
_SHELL: Final = "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh"
_ENV: Final = "/usr/bin/env"
_SCRIPT_FD: Final = 3
# A short command's output is read when it ends: to be woken for it and again for the end would take longer.
_FIRST_PAUSE_S: Final = 0.005
_FRAMES: Final = {STDOUT: FrameType.STDOUT, STDERR: FrameType.STDERR}

# The kernel takes no single argument over 128 KiB.
_ARGUMENT_BYTES_MAX: Final = 100 * 1024


class _Command:
    """A command that was started."""

    def __init__(self, pid: int, output: ProgramPipes) -> None:
        self.pid = pid
        self.output = output
        self.is_alive = True
        self.exit_code: int | None = None


def _shell(environment: dict[str, str]) -> list[str]:
    """Give what starts a shell: what forks knows one environment for all programs, so more of it is set on the way."""
    if not environment:
        return [_SHELL]
    return [_ENV, *(f"{name}={value}" for name, value in environment.items()), _SHELL]


def _start(text: str, fds: dict[int, int], forks: ForkClient, shell: list[str]) -> int:
    if len(text.encode()) <= _ARGUMENT_BYTES_MAX:
        return forks.spawn([*shell, "-c", text], fds)
    script = os.memfd_create("command", os.MFD_CLOEXEC)
    try:
        with open(script, "wb", closefd=False) as file:
            file.write(text.encode())
        return forks.spawn([*shell, f"/proc/self/fd/{_SCRIPT_FD}"], fds | {_SCRIPT_FD: script})
    finally:
        os.close(script)


class ShellCall:
    """Runs once; ``on_end`` gets the fields of the result, or ``None`` after a failure that was answered already."""

    def __init__(
        self,
        request: ShellRequest,
        connection: Connection,
        *,
        forks: ForkClient,
        network_is_disabled: bool,
        room: Room,
        drains: pipes.Drains,
        pid_count: PidCount,
        reactor: Reactor,
        on_end: Callable[[dict[str, Any] | None], None],
    ) -> None:
        self._request = request
        self._connection = connection
        self._forks = forks
        self._network_is_disabled = network_is_disabled
        self._room = room
        self._drains = drains
        self._pid_count = pid_count
        self._reactor = reactor
        self._on_end = on_end
        self._index = 0
        self._command: _Command | None = None
        self._stopped_for: StopReason | None = None
        self._timer: Timer | None = None
        self._has_ended = False
        self._begin_output()

    @property
    def is_alive(self) -> bool:
        """Whether a command's process runs now."""
        return self._command is not None and self._command.is_alive

    def start(self) -> None:
        """Begin; the time limit for all commands together counts from here."""
        self._connection.on_drained = self._go_on
        self._set_timer(self._request.timeout_ms / 1000, lambda: self.stop("timeout"))
        self._start_command()

    def stop(self, reason: StopReason) -> None:
        """Ask the command to end now, kill it after a short grace; the first reason counts."""
        if self._stopped_for is not None or self._has_ended:
            return
        self._stopped_for = reason
        self._set_timer(GRACE_S, self._kill)
        if self._command is not None:
            if self.is_alive:
                signal_group(self._command.pid, signal.SIGTERM)
            self._go_on()

    def failed(self, _error: BaseException) -> None:
        """The agent itself failed over this call."""
        self._kill()
        self._fail("internal", "The agent failed over this call; its command was ended.")

    def _begin_output(self) -> None:
        self._output = BoundedOutput(self._request.output_chars_max, "characters", streams=2)
        self._hints = [NetworkHint(enabled=self._network_is_disabled) for _ in _FRAMES]

    def _start_command(self) -> None:
        self._begin_output()
        self._room.start(
            self._attempt,
            on_full=lambda: self._line(FULL_NOTE),
            on_failure=lambda error: self._fail("busy", f"The command could not be started: {error.strerror}."),
            on_error=self.failed,
        )

    def _attempt(self) -> None:
        if self._has_ended:
            return
        if self._stopped_for is not None:
            self._end_command(None)
            return
        self._command = self._launch(self._request.commands[self._index])
        self._reactor.watch_child(self._command.pid, self._on_exit, self.failed)
        self._command.output.pause(_FIRST_PAUSE_S)

    def _launch(self, text: str) -> _Command:
        """Start a command. Raises ``OSError`` when there is no room for it, and then holds nothing."""
        outs, outs_end = pipes.make_pipe()
        errs, errs_end = pipes.make_pipe()
        try:
            pid = _start(text, {1: outs_end, 2: errs_end}, self._forks, _shell(self._request.environment))
        except OSError:
            os.close(outs)
            os.close(errs)
            raise
        finally:
            os.close(outs_end)
            os.close(errs_end)
        output = ProgramPipes(
            {STDOUT: outs, STDERR: errs},
            reactor=self._reactor,
            must_wait=self._must_wait,
            on_data=self._on_data,
            on_ready=self._go_on,
            on_error=self.failed,
        )
        return _Command(pid, output)

    def _on_exit(self, end: ChildEnd) -> None:
        command = self._command
        if command is None:
            return
        command.exit_code = end.shell_code if self._stopped_for is None else None
        command.is_alive = False
        command.output.ended()
        if self._stopped_for is not None:
            signal_group(command.pid, signal.SIGKILL)
        self._go_on()

    def _go_on(self) -> None:
        command = self._command
        if command is None:
            return
        if command.output.read():
            self._command = None
            command.output.let_go(self._drains)
            self._end_command(command.exit_code)

    def _on_data(self, stream: int, data: bytes) -> None:
        self._hints[stream].read(data)
        send_text(self._connection, _FRAMES[stream], self._output.write(data, stream))

    def _must_wait(self) -> bool:
        return self._connection.is_congested and self._stopped_for is None

    def _end_command(self, exit_code: int | None) -> None:
        if any(hint.seen for hint in self._hints):
            self._line(NETWORK_HINT)
        for stream, data in self._output.finish():
            send_text(self._connection, _FRAMES[stream], data)
        self._tell_end(exit_code, self._output.omitted_bytes)
        self._index += 1
        if self._stopped_for is not None:
            while self._index < len(self._request.commands):
                self._tell_end(None)
                self._index += 1
        if self._index < len(self._request.commands):
            self._start_command()
        else:
            self._close()
            self._on_end({"outcome": {"type": self._stopped_for or "ok"}})

    def _tell_end(self, exit_code: int | None, omitted_bytes: int = 0) -> None:
        value = {
            "event": "command_ended",
            "index": self._index,
            "exit_code": exit_code,
            "pids_taken": self._pid_count.total(),
            "omitted_bytes": omitted_bytes,
        }
        self._connection.send(encode_json(FrameType.EVENT, value))

    def _line(self, line: str) -> None:
        send_text(self._connection, FrameType.STDERR, self._output.write_line(line, STDERR))

    def _kill(self) -> None:
        if self._command is not None and self.is_alive:
            signal_group(self._command.pid, signal.SIGKILL)

    def _set_timer(self, delay_s: float, handler: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._reactor.call_later(delay_s, handler, self.failed)

    def _fail(self, code: str, message: str) -> None:
        if not self._has_ended:
            command, self._command = self._command, None
            if command is not None:
                command.output.let_go(self._drains)
            self._close()
            self._connection.fail(code, message)
            self._on_end(None)

    def _close(self) -> None:
        self._has_ended = True
        self._connection.on_drained = None
        if self._timer is not None:
            self._timer.cancel()
