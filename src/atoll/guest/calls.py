"""Runs calls of people's code one at a time, each between two looks at the data folder, and processes beside them."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from atoll.guest.changes import Changes
from atoll.guest.connection import Connection
from atoll.guest.disk_room import is_full
from atoll.guest.fork_client import ForkClient
from atoll.guest.options import Options
from atoll.guest.pid_count import PidCount
from atoll.guest.pipes import Drains
from atoll.guest.process_call import ProcessCall
from atoll.guest.protocol import FrameType
from atoll.guest.python import Python
from atoll.guest.python_call import PythonCall
from atoll.guest.reactor import Reactor
from atoll.guest.requests import ProcessRequest, PythonRequest, ShellRequest, StopReason
from atoll.guest.room import Room
from atoll.guest.shell_call import ShellCall
from atoll.guest.tree import Walk, walk_in_slices
from atoll.guest.warm_up import WarmUp

# The host keeps its own queue; these few only cover a call that starts while a stopped one is still ending.
_WAITING_MAX: Final = 8
_RESTART_POLL_S: Final = 0.005
_RESTART_POLLS_MAX: Final = 1000


class _Operation(Protocol):
    def start(self) -> None: ...

    def stop(self, reason: StopReason) -> None: ...


@dataclass(slots=True)
class _Call:
    connection: Connection
    make: Callable[["_Call"], _Operation]
    changes: Changes | None = None
    operation: _Operation | None = None
    result: dict[str, Any] | None = None
    stopped_early: StopReason | None = None


class Calls:
    """The queue of calls, and what acts on the running one."""

    def __init__(self, reactor: Reactor, options: Options, room: Room, forks: ForkClient) -> None:
        self._reactor = reactor
        self._options = options
        self._room = room
        self._drains = Drains(reactor)
        self._forks = forks
        self._pid_count = PidCount()
        self._python = Python(reactor, options, self._drains)
        self._waiting: deque[_Call] = deque()
        self._running: _Call | None = None
        self._processes: set[ProcessCall] = set()
        self._restarts = 0

    def python(self, request: PythonRequest, connection: Connection) -> None:
        """Run code when its turn comes."""
        self._enqueue(_Call(connection, lambda call: self._make_python(request, call)))

    def warm(self, modules: tuple[str, ...], connection: Connection) -> None:
        """Start Python and let it import ``modules``, when its turn comes."""
        self._enqueue(_Call(connection, lambda call: self._make_warm_up(modules, call)))

    def shell(self, request: ShellRequest, connection: Connection) -> None:
        """Run commands when their turn comes."""
        self._enqueue(_Call(connection, lambda call: self._make_shell(request, call)))

    def process(self, request: ProcessRequest, connection: Connection) -> None:
        """Run a program now, beside whatever else runs. Raises ``RequestError``."""
        if self._restarts:
            connection.fail("busy", "The container is being restarted.")
            return
        call = ProcessCall(
            request,
            connection,
            people=self._options.people,
            forks=self._forks,
            room=self._room,
            drains=self._drains,
            pid_count=self._pid_count,
            reactor=self._reactor,
            on_end=self._processes.discard,
        )
        self._processes.add(call)
        call.start()

    def interrupt(self) -> bool:
        """Stop the running call; ``False`` when none runs."""
        if self._running is None or self._running.result is not None:
            return False
        self._stop(self._running)
        return True

    def restart(self, connection: Connection) -> None:
        """End every process of people's code, then answer."""
        self._restarts += 1
        self.interrupt()
        self._python.expect_end()
        self._await_silence(connection, _RESTART_POLLS_MAX)

    def shut_down(self) -> None:
        """End every process of people's code; nothing is answered any more."""
        self._room.kill_all()

    def _enqueue(self, call: _Call) -> None:
        if len(self._waiting) >= _WAITING_MAX:
            call.connection.fail("busy", "Too many calls wait for this container.")
            return
        call.connection.on_hangup = lambda: self._hang_up(call)
        self._waiting.append(call)
        self._next()

    def _next(self) -> None:
        if self._running is not None or self._restarts or not self._waiting:
            return
        call = self._running = self._waiting.popleft()
        changes = call.changes = Changes()

        def note(is_complete: bool) -> None:
            changes.before_is_complete = is_complete
            self._begin(call)

        self._look(call, changes.note_before, note)

    def _begin(self, call: _Call) -> None:
        call.operation = call.make(call)
        if call.stopped_early is not None:
            call.operation.stop(call.stopped_early)
        call.operation.start()

    def _ended(self, call: _Call, result: dict[str, Any] | None) -> None:
        if result is None or call.connection.is_closed or call.changes is None:
            self._leave(call)
            return
        call.result = result
        self._look(call, call.changes.note_after, lambda _is_complete: self._answer(call))

    def _warmed(self, call: _Call) -> None:
        call.connection.finish(FrameType.RESULT, {})
        self._leave(call)

    def _answer(self, call: _Call) -> None:
        files = call.changes.files if call.changes is not None else []
        full = {"disk_full": True} if is_full(self._options.people.data_dir) else {}
        call.connection.finish(FrameType.RESULT, (call.result or {}) | {"files": files} | full)
        self._leave(call)

    def _leave(self, call: _Call) -> None:
        call.connection.on_hangup = None
        if self._running is call:
            self._running = None
        self._next()

    def _stop(self, call: _Call) -> None:
        if call.operation is not None:
            call.operation.stop("interrupted")
        else:
            call.stopped_early = "interrupted"

    def _hang_up(self, call: _Call) -> None:
        if call is self._running:
            self._stop(call)
        with suppress(ValueError):
            self._waiting.remove(call)

    def _look(self, call: _Call, take: Callable[[Any], None], then: Callable[[bool], None]) -> None:
        """Look at every file of the data folder; the first few hundred at once, the rest turn by turn."""
        walk = Walk(self._options.people.data_dir)

        def fail(_error: BaseException) -> None:
            call.connection.fail("internal", "The agent failed over this call.")
            self._leave(call)

        def steps() -> Any:
            yield from walk_in_slices(walk, self._options.people, take)
            then(walk.is_complete)

        self._reactor.step_through(steps(), fail)

    def _await_silence(self, connection: Connection, polls_left: int) -> None:
        self._room.kill_all()
        is_silent = not self._anything_is_alive()
        if not is_silent and polls_left > 0:
            self._reactor.call_later(
                _RESTART_POLL_S, lambda: self._await_silence(connection, polls_left - 1), lambda _e: connection.close()
            )
            return
        self._restarts -= 1
        if is_silent:
            connection.finish(FrameType.RESULT, {})
        else:
            connection.fail("internal", "Some processes did not end in time.")
        self._next()

    def _anything_is_alive(self) -> bool:
        operation = self._running.operation if self._running is not None else None
        return (
            self._python.is_alive
            or (isinstance(operation, ShellCall) and operation.is_alive)
            or any(call.is_alive for call in self._processes)
        )

    def _make_warm_up(self, modules: tuple[str, ...], call: _Call) -> WarmUp:
        return WarmUp(modules, python=self._python, reactor=self._reactor, on_end=lambda: self._warmed(call))

    def _make_python(self, request: PythonRequest, call: _Call) -> PythonCall:
        return PythonCall(
            request,
            call.connection,
            python=self._python,
            room=self._room,
            reactor=self._reactor,
            network_is_disabled=self._options.network_is_disabled,
            pid_count=self._pid_count,
            on_end=lambda result: self._ended(call, result),
        )

    def _make_shell(self, request: ShellRequest, call: _Call) -> ShellCall:
        return ShellCall(
            request,
            call.connection,
            forks=self._forks,
            network_is_disabled=self._options.network_is_disabled,
            room=self._room,
            drains=self._drains,
            pid_count=self._pid_count,
            reactor=self._reactor,
            on_end=lambda result: self._ended(call, result),
        )
