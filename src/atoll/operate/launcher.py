"""The process that ``atoll serve`` is: starts egress, supervisor and server, starts them again, ends them in order."""

import contextlib
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Final

from atoll.operate.child import EXIT_CANNOT_START
from atoll.operate.egress_user import has_egress, how_to_make
from atoll.operate.health_probe import HealthProbe
from atoll.operate.listening import reachable_address
from atoll.operate.task import Role, Task

_BACK_OFF_FIRST_S: Final = 0.1
_BACK_OFF_MAX_S: Final = 10.0
_STEADY_AFTER_S: Final = 30.0
_STARTS_BEFORE_READY_MAX: Final = 3
_PROBE_AGAIN_S: Final = 0.1
_END_S: Final = 10.0
_HURRY_S: Final = 2.0

log = logging.getLogger("atoll.launcher")


@dataclass(slots=True)
class _Child:
    """A role, the process that plays it now, and what is known for when it must be played again."""

    role: Role
    task: Task
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    due_at: float = 0.0
    failures: int = field(default=0)

    def start(self, now: float) -> None:
        """Start the process in a group of its own, so that a terminal's Ctrl-C reaches the launcher alone."""
        descriptors = (self.task.listening_fd,) if self.task.listening_fd >= 0 else ()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "atoll.operate.child", self.role],
            stdin=subprocess.PIPE,
            pass_fds=descriptors,
            process_group=0,
            env=_child_environment(drops=self.task.user is not None),
        )
        self.started_at = now
        assert self.process.stdin is not None  # noqa: S101 - for the type checker: it is a pipe
        with contextlib.suppress(BrokenPipeError):  # it died already, which is noticed like any other death
            self.process.stdin.write(self.task.dump())
            self.process.stdin.close()

    def signal(self, number: int) -> None:
        """Send a signal if there is a process."""
        if self.process is not None:
            self.process.send_signal(number)


class Launcher:
    """Runs until SIGINT or SIGTERM. Only for a main thread that has no others.

    ``on_ready`` is called once, when ``/health`` has answered for the first time.
    """

    def __init__(
        self,
        task: Task,
        listening: socket.socket,
        on_ready: Callable[[], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listening = listening
        self._address = reachable_address(listening)
        self._on_ready = on_ready
        self._clock = clock
        self._server = _Child("server", replace(task, listening_fd=listening.fileno()))
        supervised = task.settings.runtime != "plain"
        self._supervisor = _Child("supervisor", replace(task, first_key=None, vault_key=None)) if supervised else None
        self._egress = _Child("egress", replace(task, first_key=None)) if has_egress(task.settings) else None
        if supervised and self._egress is None:
            log.warning(
                "there is no system user %r, so containers get no network access; make it with `%s`",
                task.settings.egress_user,
                how_to_make(task.settings.egress_user),
            )
        self._children = [child for child in (self._egress, self._supervisor, self._server) if child is not None]
        self._grace_s = task.settings.shutdown_grace_s
        self._selector = selectors.DefaultSelector()
        self._probe: HealthProbe | None = None
        self._probe_at = 0.0
        self._was_ready = False
        self._signals = 0

    def run(self) -> int:
        """Play the launcher's whole life. Gives the process's exit code."""
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, self._on_signal)
        self._selector.register(wake_read, selectors.EVENT_READ)
        code = 0
        try:
            while not self._signals and code == 0:
                self._start_due()
                self._wait(self._next_at(), wake_read)
                code = self._reap()
        finally:
            self._end_all(wake_read)
        return code

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._signals += 1

    def _start_due(self) -> None:
        now = self._clock()
        for child in self._children:
            if child.process is None and child.due_at <= now:
                child.start(now)
                if child is self._server:
                    self._drop_probe(again_at=now)
        if self._probe is None and self._probe_at <= now and self._server.process is not None:
            try:
                self._probe = HealthProbe(self._address)
            except OSError:
                self._probe_at = now + _PROBE_AGAIN_S
            else:
                self._selector.register(self._probe, selectors.EVENT_READ)

    def _next_at(self) -> float:
        times = [child.due_at for child in self._children if child.process is None]
        if self._probe is None and self._server.process is not None:
            times.append(self._probe_at)
        return min(times, default=float("inf"))

    def _wait(self, until: float, wake_read: int) -> None:
        """Wait for a signal, a child's death, the probe's answer or a moment."""
        timeout = None if until == float("inf") else max(0.0, until - self._clock())
        for key, _ in self._selector.select(timeout):
            if key.fileobj is self._probe and self._probe is not None:
                self._take_answer(self._probe)
            else:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake_read, 4096)

    def _take_answer(self, probe: HealthProbe) -> None:
        healthy = probe.is_healthy()
        self._drop_probe(again_at=float("inf") if healthy else self._clock() + _PROBE_AGAIN_S)
        if healthy and self._was_ready:
            log.info("the server answers again")
        elif healthy:
            self._was_ready = True
            self._server.task = replace(self._server.task, first_key=None)  # it is in the database now
            self._on_ready()

    def _drop_probe(self, *, again_at: float) -> None:
        if self._probe is not None:
            self._selector.unregister(self._probe)
            self._probe.close()
            self._probe = None
        self._probe_at = again_at

    def _reap(self) -> int:
        """Notice dead children and decide when each starts again. Gives an exit code when there is no use in it."""
        for child in self._children:
            if child.process is None or (ended := child.process.poll()) is None:
                continue
            now = self._clock()
            child.process = None
            steady = now - child.started_at >= _STEADY_AFTER_S
            child.failures = 1 if steady else child.failures + 1
            if not self._was_ready and (ended == EXIT_CANNOT_START or child.failures >= _STARTS_BEFORE_READY_MAX):
                log.error("the %s cannot start (it %s); giving up", child.role, _describe_end(ended))
                return 1
            delay_s = min(_BACK_OFF_FIRST_S * 2 ** (child.failures - 1), _BACK_OFF_MAX_S)
            child.due_at = now + delay_s
            log.warning("the %s %s; starting it again in %.1f s", child.role, _describe_end(ended), delay_s)
        return 0

    def _end_all(self, wake_read: int) -> None:
        """End the server, giving running calls their time, then supervisor and egress. Sandboxes are left alone."""
        signals_seen = min(self._signals, 1)  # a second one hurries, however soon it comes
        self._drop_probe(again_at=float("inf"))
        self._listening.close()
        if self._server.process is not None and self._signals and self._was_ready:
            log.info("stopping; running calls have up to %g s to finish (again to hurry)", self._grace_s)
        self._end(self._server, self._grace_s + _END_S, wake_read, signals_seen)
        for child in (self._supervisor, self._egress):
            if child is not None:
                self._end(child, _END_S, wake_read, self._signals)
        log.info("stopped")

    def _end(self, child: _Child, patience_s: float, wake_read: int, signals_seen: int) -> None:
        child.signal(signal.SIGTERM)
        give_up_at = self._clock() + patience_s
        while child.process is not None and child.process.poll() is None:
            if self._signals > signals_seen:
                signals_seen = self._signals
                give_up_at = min(give_up_at, self._clock() + _HURRY_S)
                child.signal(signal.SIGINT)  # uvicorn takes it as "do not wait for connections"
            if self._clock() >= give_up_at:
                log.warning("the %s did not end in time; killing it", child.role)
                child.process.kill()
                child.process.wait()
                break
            self._wait(give_up_at, wake_read)
        child.process = None


def _child_environment(*, drops: bool) -> dict[str, str]:
    """Leave out what is Atoll's own, keys above all, and root's home for one who may not go there."""
    unwanted = {"HOME"} if drops else set()
    return {name: value for name, value in os.environ.items() if not name.startswith("ATOLL_") and name not in unwanted}


def _describe_end(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
