"""One terminal: a shell on a pseudo terminal, which goes on while nobody is connected to it.

At most one connection at a time has it. Nothing is read from it that this one has not taken, so that a program whose
reader is slow waits, as on any terminal; without a reader it is read at an easy pace and only the last is kept.
"""

import signal
from collections.abc import Callable
from typing import Any, Final, Literal

from atoll.guest.connection import Connection
from atoll.guest.fork_client import ForkClient
from atoll.guest.options import Options
from atoll.guest.processes import signal_group
from atoll.guest.program import REPORT_FD, Program
from atoll.guest.protocol import FrameType, ProtocolError, decode_json, encode, encode_json
from atoll.guest.pty import Pty
from atoll.guest.reactor import READ, WRITE, ChildEnd, Reactor, Timer
from atoll.guest.requests import RequestError, TerminalSize, read_terminal_order
from atoll.guest.scrollback import Scrollback

EndReason = Literal["exited", "closed", "restarted", "failed"]

SCROLLBACK_BYTES: Final = 128 * 1024
_ENV: Final = "/usr/bin/env"
# What is set for calls, whose output nobody looks at on a screen.
_NOT_HERE: Final = ("NO_COLOR", "PAGER", "GIT_PAGER", "DEBIAN_FRONTEND")
_TERM: Final = "xterm-256color"

_READ_BYTES: Final = 64 * 1024
# As much as is on its way to the host at once: an interrupt of a flood is seen when this much has gone by.
_HIGH_WATER_BYTES: Final = 64 * 1024
_INPUT_BYTES_MAX: Final = 64 * 1024
# A program that writes character by character would otherwise become a frame for each of them. The kernel gives a few
# kilobytes at a time however much there is, so what is more than that is no reason to wait.
_SMALL_READ_BYTES: Final = 512
_PAUSE_S: Final = 0.003
# Nobody waits for it, and it must not keep the agent from its work.
_UNWATCHED_PAUSE_S: Final = 0.002
_KILL_AFTER_S: Final = 1.0
# How long to wait for an end after the shell's, when some other program keeps the terminal open.
_LAST_WORDS_S: Final = 0.3


class Terminal:
    """``on_end`` is called once, when the terminal is no more. Raises ``OSError`` when there is no room for it."""

    def __init__(
        self,
        terminal_id: str,
        size: TerminalSize,
        environment: dict[str, str],
        *,
        options: Options,
        forks: ForkClient,
        reactor: Reactor,
        on_end: Callable[["Terminal"], object],
    ) -> None:
        self.id = terminal_id
        self.size = size
        self._reactor = reactor
        self._on_end = on_end
        self._scrollback = Scrollback(SCROLLBACK_BYTES)
        self._connection: Connection | None = None
        self._input = bytearray()
        self._pause: Timer | None = None
        self._result: dict[str, Any] | None = None
        self._is_open = True
        self._is_alive = True
        self._pty = Pty(options.people, size)
        try:
            # What keeps the shell from being started is shown in the terminal.
            ends = dict.fromkeys((0, 1, 2, REPORT_FD), self._pty.inner)
            self._pid = forks.launch(_shell(options, environment), ends)
        except OSError:
            self._pty.close()
            raise
        reactor.watch_child(self._pid, self._on_exit, self._failed)
        self._watch()

    @property
    def is_attached(self) -> bool:
        """Whether somebody is connected to it."""
        return self._connection is not None

    def attach(self, connection: Connection, size: TerminalSize, *, is_new: bool) -> None:
        """Give it to a connection, and take it from the one that had it."""
        self._let_go_of({"reason": "taken_over"})
        self._connection = connection
        connection.high_water_bytes = _HIGH_WATER_BYTES
        connection.send(encode_json(FrameType.EVENT, {"event": "attached", "id": self.id}))
        if not is_new:
            self._show_again(connection)
            self._resize(size, redraw=True)
        connection.on_hangup = self._detach
        connection.on_drained = self._watch
        connection.accept_input(lambda kind, payload: self._take(connection, kind, payload))
        self._watch()

    def close(self, reason: EndReason) -> None:
        """Hang up on what runs in it. May be repeated."""
        if not self._is_open:
            return
        self._end({"reason": reason})
        if self._is_alive:
            signal_group(self._pid, signal.SIGHUP)
            signal_group(self._pid, signal.SIGCONT)
            self._reactor.call_later(_KILL_AFTER_S, self._kill, self._failed)

    def _show_again(self, connection: Connection) -> None:
        shown = self._scrollback.replay()
        if shown:
            connection.send(encode(FrameType.DATA, shown))

    def _resize(self, size: TerminalSize, *, redraw: bool = False) -> None:
        is_same = size == self.size
        self.size = size
        self._pty.resize(size)
        if is_same and redraw:
            # A program that fills the screen draws it anew; the others do not care.
            self._pty.signal_foreground(signal.SIGWINCH)

    def _take(self, connection: Connection, kind: FrameType, payload: bytes) -> None:
        if connection is not self._connection:
            return
        if kind is FrameType.DATA:
            self._input += payload
            self._type()
        elif kind is FrameType.REQUEST:
            self._obey(payload)
        else:
            raise ProtocolError(f"a {kind.name} frame makes no sense in a terminal")

    def _obey(self, payload: bytes) -> None:
        try:
            order = read_terminal_order(decode_json(payload))
        except RequestError as error:
            raise ProtocolError(str(error)) from error
        if isinstance(order, TerminalSize):
            self._resize(order)
        else:
            self._pty.signal_foreground(order)

    def _type(self) -> None:
        while self._input:
            taken = self._pty.write(memoryview(self._input)[:_INPUT_BYTES_MAX])
            if not taken:
                break
            del self._input[:taken]
        if self._connection is not None:
            self._connection.hold_input(is_held=len(self._input) >= _INPUT_BYTES_MAX)
        self._watch()

    def _watch(self) -> None:
        if not self._is_open:
            return
        is_waiting = self._pause is not None or (self._connection is not None and self._connection.is_congested)
        events = (0 if is_waiting else READ) | (WRITE if self._input else 0)
        self._reactor.watch(self._pty.outer, events, self._on_events, self._failed)

    def _on_events(self, events: int) -> None:
        if events & WRITE and self._input:
            self._type()
        if events & READ and self._is_open:
            self._read()

    def _read(self) -> None:
        data = self._pty.read(_READ_BYTES)
        if data == b"":
            self._reached_end()
            return
        if data:
            self._scrollback.write(data)
            if self._connection is not None:
                self._connection.send(encode(FrameType.DATA, data))
        if self._connection is None:
            self._rest(_UNWATCHED_PAUSE_S)
        elif len(data or b"") < _SMALL_READ_BYTES:
            self._rest(_PAUSE_S)
        else:
            self._watch()

    def _rest(self, pause_s: float) -> None:
        self._pause = self._reactor.call_later(pause_s, self._go_on, self._failed)
        self._watch()

    def _go_on(self) -> None:
        self._pause = None
        self._watch()

    def _reached_end(self) -> None:
        """Nothing can come any more; the shell's own end tells the rest."""
        if self._result is not None:
            self._end(self._result)
        else:
            self._rest(_PAUSE_S)

    def _on_exit(self, end: ChildEnd) -> None:
        self._is_alive = False
        if not self._is_open:
            return
        self._result = {"reason": "exited", "exit_code": end.exit_code, "signal": end.signal}
        self._pty.shell_ended()
        self._await_last_words()

    def _await_last_words(self) -> None:
        self._reactor.call_later(_LAST_WORDS_S, self._last_words_are_late, self._failed)

    def _last_words_are_late(self) -> None:
        if not self._is_open or self._result is None:
            return
        if self._connection is not None and self._connection.is_congested:
            self._await_last_words()
        else:
            self._end(self._result)

    def _end(self, result: dict[str, Any]) -> None:
        self._is_open = False
        if self._pause is not None:
            self._pause.cancel()
        self._reactor.watch(self._pty.outer, 0, self._on_events, self._failed)
        self._pty.close()
        self._let_go_of(result)
        self._on_end(self)

    def _detach(self) -> None:
        self._connection = None
        self._input.clear()
        self._watch()

    def _let_go_of(self, result: dict[str, Any]) -> None:
        """Tell the connection that has it, if one does, why it has it no more."""
        connection = self._connection
        self._connection = None
        self._input.clear()
        if connection is not None:
            connection.finish(FrameType.RESULT, result)

    def _kill(self) -> None:
        if self._is_alive:
            signal_group(self._pid, signal.SIGKILL)

    def _failed(self, _error: BaseException) -> None:
        self.close("failed")


def _shell(options: Options, environment: dict[str, str]) -> Program:
    unset = [part for name in _NOT_HERE for part in ("-u", name)]
    argv = (_ENV, *unset, options.people.environment["SHELL"])
    return Program(argv, {"TERM": _TERM, **environment}, "")
