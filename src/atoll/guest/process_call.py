"""One ``process`` operation: a program with exact arguments, its input, its output to the byte, and how it ended.

It ends when its process ends and what was written by then has been read; background processes that keep its pipes go
on, and what they write later is thrown away.
"""

import grp
import os
import signal
from collections.abc import Callable
from typing import Any, Final

from atoll.guest import pipes
from atoll.guest.byte_output import ByteOutput
from atoll.guest.connection import Connection
from atoll.guest.fork_client import ForkClient
from atoll.guest.options import People
from atoll.guest.output import STDERR, STDOUT
from atoll.guest.pid_count import PidCount
from atoll.guest.process_input import ProcessInput
from atoll.guest.processes import signal_group
from atoll.guest.program import REPORT_BYTES_MAX, REPORT_FD, NotStarted
from atoll.guest.program_pipes import ProgramPipes
from atoll.guest.protocol import TEXT_BYTES_MAX, FrameType, encode, encode_json
from atoll.guest.reactor import READ, ChildEnd, Reactor, Timer
from atoll.guest.requests import ProcessRequest, RequestError, StopReason
from atoll.guest.room import Room

GRACE_S: Final = 2.0
_FRAMES: Final = {STDOUT: FrameType.STDOUT, STDERR: FrameType.STDERR}
_NAMES: Final = {STDOUT: "stdout", STDERR: "stderr"}


class ProcessCall:
    """Runs once. ``on_end`` gets the call itself when it is over. Raises ``RequestError`` for a user it cannot be."""

    def __init__(
        self,
        request: ProcessRequest,
        connection: Connection,
        *,
        people: People,
        forks: ForkClient,
        room: Room,
        drains: pipes.Drains,
        pid_count: PidCount,
        reactor: Reactor,
        on_end: Callable[["ProcessCall"], None],
    ) -> None:
        check_user(request.user, people)
        self._request = request
        self._connection = connection
        self._forks = forks
        self._room = room
        self._drains = drains
        self._pid_count = pid_count
        self._reactor = reactor
        self._on_end = on_end
        self._output = ByteOutput(request.output_bytes_max)
        self._input = ProcessInput(connection, reactor, self.failed) if request.has_input else None
        self._pid: int | None = None
        self._end: ChildEnd | None = None
        self._report: int | None = None
        self._pipes: ProgramPipes | None = None
        self._made_room = False
        self._stopped_for: StopReason | None = None
        self._timer: Timer | None = None
        self._is_over = False

    @property
    def is_alive(self) -> bool:
        """Whether its process runs now."""
        return self._pid is not None and self._end is None

    def start(self) -> None:
        """Begin; the time limit counts from here."""
        self._connection.on_drained = self._go_on
        self._connection.on_hangup = lambda: self.stop("interrupted")
        self._set_timer(self._request.timeout_ms / 1000, lambda: self.stop("timeout"))
        self._room.start(self._attempt, on_full=self._note_full, on_failure=self._no_room, on_error=self.failed)

    def stop(self, reason: StopReason) -> None:
        """Ask the program to end now, kill it after a short grace; the first reason counts."""
        if self._stopped_for is not None or self._is_over:
            return
        if self._end is None:
            self._stopped_for = reason
            self._signal(signal.SIGTERM)
            self._set_timer(GRACE_S, lambda: self._signal(signal.SIGKILL))
        self._go_on()

    def failed(self, _error: BaseException) -> None:
        """The agent itself failed over this call."""
        self._signal(signal.SIGKILL)
        self._fail("internal", "The agent failed over this program; it was ended.")

    def _attempt(self) -> None:
        if self._is_over:
            return
        if self._stopped_for is not None:
            self._finish()
            return
        self._launch()
        assert self._pid is not None  # noqa: S101 - or there was an OSError
        self._reactor.watch_child(self._pid, self._on_exit, self.failed)
        self._watch_report()

    def _launch(self) -> None:
        """Start the program. Raises ``OSError`` when there is no room for it, and then holds nothing."""
        ours: list[int] = []
        theirs: dict[int, int] = {}
        try:
            for number in (STDOUT + 1, STDERR + 1):
                ends = pipes.make_pipe()
                ours.append(ends[0])
                theirs[number] = ends[1]
            report, theirs[REPORT_FD] = os.pipe2(os.O_CLOEXEC)
            ours.append(report)
            os.set_blocking(report, False)
            if self._input is not None:
                theirs[0] = self._input.open()
            self._pid = self._forks.launch(self._request.program, theirs)
        except OSError:
            for fd in ours:
                os.close(fd)
            if self._input is not None:
                self._input.give_up()
            raise
        finally:
            for fd in theirs.values():
                os.close(fd)
        self._pipes = ProgramPipes(
            {STDOUT: ours[0], STDERR: ours[1]},
            reactor=self._reactor,
            must_wait=self._must_wait,
            on_data=lambda stream, data: self._send(stream, self._output.write(data, stream)),
            on_ready=self._go_on,
            on_error=self.failed,
        )
        self._report = report

    def _watch_report(self) -> None:
        if self._report is not None:
            self._reactor.watch(self._report, READ, self._on_report, self.failed)

    def _on_report(self, _events: int) -> None:
        self._read_report()
        self._go_on()

    def _read_report(self) -> None:
        """Learn whether the program runs; only then is anything said of it."""
        if self._report is None:
            return
        said = pipes.read(self._report, REPORT_BYTES_MAX)
        if said is None:
            return
        self._close_report()
        if said:
            self._not_started(NotStarted.decoded(said))
            return
        self._connection.send(encode_json(FrameType.EVENT, {"event": "started"}))
        if self._input is not None:
            self._input.begin()

    def _not_started(self, why: NotStarted) -> None:
        program = self._request.program
        if why.is_for_want_of_room:
            self._fail("busy", why.describe(program))
        else:
            self._fail("bad_request", why.describe(program), why.step)

    def _on_exit(self, end: ChildEnd) -> None:
        self._end = end
        if self._stopped_for is not None and self._pid is not None:
            signal_group(self._pid, signal.SIGKILL)  # the group may have more than its leader in it
        if self._is_over:
            return
        if self._pipes is not None:
            self._pipes.ended()
        self._read_report()
        if self._input is not None:
            self._input.close()
        self._go_on()

    def _go_on(self) -> None:
        if self._is_over or self._pipes is None or self._report is not None:
            return
        if self._pipes.read():
            self._finish()

    def _send(self, stream: int, data: bytes) -> None:
        for start in range(0, len(data), TEXT_BYTES_MAX):
            self._connection.send(encode(_FRAMES[stream], data[start : start + TEXT_BYTES_MAX]))

    def _must_wait(self) -> bool:
        return self._connection.is_congested and self._stopped_for is None

    def _finish(self) -> None:
        for rest in self._output.finish():
            if rest.omitted_bytes:
                gap = {"event": "omitted", "stream": _NAMES[rest.stream], "bytes": rest.omitted_bytes}
                self._connection.send(encode_json(FrameType.EVENT, gap))
            self._send(rest.stream, rest.data)
        self._close()
        result = {"outcome": self._outcome(), "made_room": self._made_room, "pids_taken": self._pid_count.total()}
        self._connection.finish(FrameType.RESULT, result)
        self._on_end(self)

    def _outcome(self) -> dict[str, Any]:
        if self._stopped_for is not None or self._end is None:
            return {"type": self._stopped_for or "interrupted"}
        if self._end.exit_code is not None:
            return {"type": "exit", "exit_code": self._end.exit_code}
        return {"type": "signal", "signal": self._end.signal}

    def _note_full(self) -> None:
        self._made_room = True

    def _no_room(self, error: OSError) -> None:
        self._fail("busy", f"The program could not be started: {error.strerror}.")

    def _fail(self, code: str, message: str, field: str | None = None) -> None:
        if not self._is_over:
            self._close()
            self._connection.fail(code, message, field)
            self._on_end(self)

    def _close(self) -> None:
        """Let go of everything; whoever still writes is read on."""
        self._is_over = True
        self._connection.on_drained = None
        if self._timer is not None:
            self._timer.cancel()
        self._close_report()
        if self._pipes is not None:
            self._pipes.let_go(self._drains)
        if self._input is not None:
            self._input.close()

    def _close_report(self) -> None:
        fd, self._report = self._report, None
        if fd is not None:
            self._reactor.watch(fd, 0, lambda _events: None, self.failed)
            os.close(fd)

    def _signal(self, number: int) -> None:
        if self.is_alive and self._pid is not None:
            signal_group(self._pid, number)

    def _set_timer(self, delay_s: float, handler: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._reactor.call_later(delay_s, handler, self.failed)


def check_user(user: str | None, people: People) -> None:
    """Raise ``RequestError`` unless ``user`` is the one that people's code runs as, by name or number."""
    if user is None:
        return
    uid = os.geteuid() if people.uid is None else people.uid
    gid = os.getegid() if people.gid is None else people.gid
    own = people.environment.get("USER", str(uid))
    name, colon, group = user.partition(":")
    if name not in {own, str(uid)} or (colon and group not in {str(gid), _group_name(gid)}):
        raise RequestError(f"Programs run as the user {own!r} ({uid}) and as nobody else.", "user")


def _group_name(gid: int) -> str | None:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return None
