"""People's Python as the agent sees it: one child at most, its merged output, its images, its interrupts.

The child is started at first use and again after it died. While a call runs, its text goes to the call; between
calls it is read and kept within a small bound, and put in front of the next call's output.
"""

import contextlib
import os
import signal
import socket
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from atoll.guest import pipes
from atoll.guest.options import Options
from atoll.guest.output import BoundedOutput
from atoll.guest.processes import signal_group
from atoll.guest.protocol import FrameDecoder, FrameType, ProtocolError, decode_json, encode_json
from atoll.guest.reactor import READ, WRITE, ChildEnd, Reactor, Timer
from atoll.guest.spawn import settle, spawn

_KERNEL: Final = str(Path(__file__).with_name("kernel.py"))
_CONTROL_FD: Final = 3
_ACKNOWLEDGE_FD: Final = 4
_IDLE_OUTPUT_BYTES: Final = 64 * 1024
_IDLE_PAUSE_S: Final = 0.05
_TURN_BYTES: Final = 256 * 1024
_CONTROL_READ_BYTES: Final = 64 * 1024
_MESSAGE_READS_MAX: Final = 256


class Listener(Protocol):
    """Whom a running call's output goes to."""

    @property
    def is_congested(self) -> bool:
        """Whether output must wait."""

    def text(self, data: bytes) -> None:
        """Take the next piece of text."""

    def image(self, payload: bytes) -> None:
        """Take an image in the protocol's form."""

    def done(self, *, ok: bool) -> None:
        """The code came to its end."""

    def died(self, end: ChildEnd) -> None:
        """The process came to its end instead."""

    def failed(self, error: BaseException) -> None:
        """The agent made a mistake over it."""


class _Child:
    """A running Python and the three channels to it. Raises ``OSError`` when there is no room for one."""

    def __init__(self, options: Options) -> None:
        self.text, text_end = pipes.make_pipe()
        acknowledge_end, self.acknowledge = os.pipe2(os.O_CLOEXEC)
        self.control, control_end = socket.socketpair()
        try:
            fds = {1: text_end, 2: text_end, _CONTROL_FD: control_end.fileno(), _ACKNOWLEDGE_FD: acknowledge_end}
            self.pid = _start(options, fds)
        except OSError:
            os.close(self.text)
            self.close_channels()
            raise
        finally:
            os.close(text_end)
            os.close(acknowledge_end)
            control_end.close()
        self.control.setblocking(False)
        os.set_blocking(self.acknowledge, False)  # who sends images and does not wait for these may miss some
        self.decoder = FrameDecoder()
        self.requests = bytearray()
        self.messages: deque[tuple[FrameType, bytes]] = deque()
        self.barrier: int | None = None
        self.end: ChildEnd | None = None
        self.is_ready = False
        self.is_used = False
        self.text_ended = False
        self.control_ended = False

    def close_channels(self) -> None:
        self.control.close()
        os.close(self.acknowledge)


def _start(options: Options, fds: dict[int, int]) -> int:
    """Start a fresh interpreter, or fork this one when it has everything imported: same channels, same result."""
    if options.forks_python:
        from atoll.guest.forked_python import serve  # noqa: PLC0415 - imports IPython, which an agent does not need

        data_dir = options.people.data_dir
        environment = options.people.environment
        return settle(lambda: serve(_CONTROL_FD, _ACKNOWLEDGE_FD, data_dir, environment), fds, options.people)
    argv = [options.python, _KERNEL, str(_CONTROL_FD), str(_ACKNOWLEDGE_FD), options.people.data_dir]
    return spawn(argv, fds, options.people)


class Python:
    """Runs code for one listener at a time."""

    def __init__(self, reactor: Reactor, options: Options, drains: pipes.Drains) -> None:
        self._reactor = reactor
        self._drains = drains
        self._options = options
        self._child: _Child | None = None
        self._listener: Listener | None = None
        self._idle_output = BoundedOutput(_IDLE_OUTPUT_BYTES)
        self._idle_head = bytearray()
        self._has_idle_output = False
        self._resume: Timer | None = None
        self._is_ending_expected = False

    @property
    def is_alive(self) -> bool:
        """Whether there is a Python process, busy or idle."""
        return self._child is not None

    def run(
        self, code: str, listener: Listener, environment: dict[str, str] | None = None, *, html: bool = False
    ) -> None:
        """Run ``code``, with variables set before; values that have an HTML form are shown in it with ``html``.

        Everything that comes of it goes to ``listener``. Raises ``OSError`` when there is no room.
        """
        child = self._started()
        child.is_used = True
        request: dict[str, Any] = {"code": code}
        if environment:
            request["environment"] = environment
        if html:
            request["html"] = True
        self._ask(child, request, listener)

    def warm(self, modules: Sequence[str], listener: Listener) -> None:
        """Start a Python and let it import ``modules``. Raises ``OSError`` when there is no room."""
        self._ask(self._started(), {"warm": list(modules)}, listener)

    def _started(self) -> _Child:
        if self._child is None:
            self._child = _Child(self._options)
            self._reactor.watch_child(self._child.pid, self._on_exit, self._crash)
        return self._child

    def _ask(self, child: _Child, request: dict[str, Any], listener: Listener) -> None:
        self._collect_waiting_text(child)
        text = self._take_idle_output()
        self._listener = listener
        self._is_ending_expected = False
        if text:
            listener.text(text)
        child.requests += encode_json(FrameType.REQUEST, request)
        self._send_requests()
        # What a short call prints is read when it ends: to be woken for it and again for the end would take longer.
        self._look_now()
        self._pause(pipes.SMALL_PAUSE_S)
        self._watch(child)

    def interrupt(self) -> None:
        """Ask the running code to stop, as Ctrl-C would; a Python that only starts yet has nothing to lose."""
        if self._child is not None:
            signal_group(self._child.pid, signal.SIGINT if self._child.is_ready else signal.SIGKILL)

    def kill(self) -> None:
        """End the process and what it started in its group."""
        if self._child is not None:
            signal_group(self._child.pid, signal.SIGKILL)

    def expect_end(self) -> None:
        """The process is about to be ended on request: its death is no news, and its late output of no interest."""
        self._is_ending_expected = True
        self._take_idle_output()

    def go_on(self) -> None:
        """Move output on, as far as the listener and one turn's share allow."""
        child = self._child
        if child is None:
            return
        self._pump(child)
        if child is self._child:
            self._watch(child)

    def _pump(self, child: _Child) -> None:
        """Read text; handle a message only when all text written before it has been read."""
        room = _TURN_BYTES
        while room > 0 and not self._must_wait() and child is self._child:
            if child.barrier is None and (child.messages or child.end is not None):
                child.barrier = 0 if child.text_ended else pipes.pending(child.text)
            room -= self._read_text(child, min(pipes.READ_BYTES, room))
            if child.barrier == 0:
                child.barrier = None
                self._handle_next(child)
                if self._listener is None and not child.messages and child.end is None:
                    return  # the call is over: what comes now is read when it comes
            elif child.barrier is None and not child.messages and child.end is None:
                return

    def _read_text(self, child: _Child, bytes_max: int) -> int:
        if child.barrier is not None:
            bytes_max = min(bytes_max, child.barrier)
        if child.text_ended or bytes_max == 0:
            return 0
        data = pipes.read(child.text, bytes_max)
        if data:
            self._take_text(data)
            if child.barrier is not None:
                child.barrier -= len(data)
            return len(data)
        child.text_ended = data == b""
        if child.barrier is not None:
            child.barrier = 0
        return 0

    def _take_text(self, data: bytes) -> None:
        if self._listener is not None:
            self._listener.text(data)
        else:
            self._has_idle_output = True
            self._idle_head += self._idle_output.write(data)

    def _must_wait(self) -> bool:
        return self._listener is not None and self._listener.is_congested

    def _handle_next(self, child: _Child) -> None:
        if child.messages:
            try:
                self._handle(child, *child.messages.popleft())
            except ProtocolError:
                self.kill()  # people's code wrote to the channel; nothing more on it can be trusted
        elif child.end is not None:
            self._bury(child, child.end)

    def _handle(self, child: _Child, frame_type: FrameType, payload: bytes) -> None:
        listener = self._listener
        if frame_type is FrameType.IMAGE:
            if listener is not None:
                listener.image(payload)
            with contextlib.suppress(OSError):
                os.write(child.acknowledge, b"\0")
        elif frame_type is FrameType.EVENT:
            child.is_ready = True
        elif frame_type is FrameType.RESULT and listener is not None:
            ok = decode_json(payload).get("ok") is True
            self._listener = None
            self._look_now()
            listener.done(ok=ok)
        else:
            raise ProtocolError(f"a {frame_type.name} frame makes no sense here")

    def _bury(self, child: _Child, end: ChildEnd) -> None:
        self._forget(child)
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.died(end)
        elif child.is_used and not self._is_ending_expected:
            line = f"{describe(end)} between two calls. Variables are lost; files in /mnt/data are kept."
            self._has_idle_output = True
            self._idle_head += self._idle_output.write_line(f"[atoll] {line}")

    def _forget(self, child: _Child) -> None:
        self._reactor.watch(child.text, 0, self._on_text, self._crash)
        self._reactor.watch(child.control.fileno(), 0, self._on_control, self._crash)
        child.close_channels()
        self._drains.add(child.text)  # background processes may still write there
        self._child = None

    def _watch(self, child: _Child) -> None:
        reads_text = not (child.text_ended or self._must_wait() or self._is_pausing)
        self._reactor.watch(child.text, READ if reads_text else 0, self._on_text, self._crash)
        reads = 0 if child.control_ended or child.messages else READ
        events = reads | (WRITE if child.requests else 0)
        self._reactor.watch(child.control.fileno(), events, self._on_control, self._crash)

    @property
    def _is_pausing(self) -> bool:
        return self._resume is not None

    def _on_text(self, _events: int) -> None:
        child = self._child
        if child is None:
            return
        if self._listener is None:
            # Nobody waits for it: a background thread that floods must not keep the agent busy.
            self._pause(_IDLE_PAUSE_S)
        elif pipes.pending(child.text) < pipes.SMALL_READ_BYTES:
            self._pause(pipes.SMALL_PAUSE_S)
        self.go_on()

    def _pause(self, delay_s: float) -> None:
        """Do not look at the text for a moment. Messages, and with them the end of a call, do not wait for it."""
        if self._resume is None:
            self._resume = self._reactor.call_later(delay_s, self._end_pause, self._crash)

    def _look_now(self) -> None:
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None

    def _end_pause(self) -> None:
        self._resume = None
        self.go_on()

    def _on_control(self, events: int) -> None:
        child = self._child
        if child is None:
            return
        if events & WRITE:
            self._send_requests()
        if events & READ:
            self._receive(child)
        self.go_on()

    def _receive(self, child: _Child) -> None:
        try:
            data = child.control.recv(_CONTROL_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            child.control_ended = True
            if child.end is None:
                self.kill()  # a Python that cannot be spoken to is of no more use
            return
        try:
            child.messages.extend(child.decoder.feed(data))
        except ProtocolError:
            self.kill()

    def _send_requests(self) -> None:
        child = self._child
        if child is None or not child.requests:
            return
        with contextlib.suppress(OSError):
            del child.requests[: child.control.send(child.requests)]

    def _on_exit(self, end: ChildEnd) -> None:
        child = self._child
        if child is None:
            return
        child.end = end
        signal_group(child.pid, signal.SIGKILL)
        for _ in range(_MESSAGE_READS_MAX):
            if child.control_ended:
                break
            before = child.decoder.buffered_bytes, len(child.messages)
            self._receive(child)
            if before == (child.decoder.buffered_bytes, len(child.messages)):
                break
        self.go_on()

    def _collect_waiting_text(self, child: _Child) -> None:
        """Read what was written before this call, so that it counts as such."""
        waiting = 0 if child.text_ended else pipes.pending(child.text)
        while waiting > 0 and (data := pipes.read(child.text, min(waiting, pipes.READ_BYTES))):
            self._take_text(data)
            waiting -= len(data)

    def _take_idle_output(self) -> bytes:
        if not self._has_idle_output:
            return b""
        self._has_idle_output = False
        text = bytes(self._idle_head) + b"".join(piece for _, piece in self._idle_output.finish())
        self._idle_head.clear()
        self._idle_output = BoundedOutput(_IDLE_OUTPUT_BYTES)
        return text

    def _crash(self, error: BaseException) -> None:
        """Something broke here: the process goes, the call is told, the next one starts afresh."""
        listener, self._listener = self._listener, None
        if self._child is not None:
            self.kill()
            if self._child.end is not None:
                self._forget(self._child)
        if listener is not None:
            listener.failed(error)


def describe(end: ChildEnd) -> str:
    """Say in words how Python ended."""
    if end.signal is None:
        return f"Python ended by itself with exit code {end.exit_code}"
    try:
        name = signal.Signals(end.signal).name
    except ValueError:
        name = "unknown"
    return f"Python was ended by signal {end.signal} ({name})"


def outcome_of(end: ChildEnd) -> dict[str, Any]:
    """Give the protocol's OUTCOME of a Python that died."""
    return {"type": "died", "signal": end.signal, "exit_code": end.exit_code}
