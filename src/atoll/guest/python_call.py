"""One ``python`` operation: its request, output limit, time limit and outcome."""

from collections.abc import Callable
from typing import Any, Final

from atoll.guest.connection import Connection
from atoll.guest.network_hint import NETWORK_HINT, NetworkHint
from atoll.guest.output import BoundedOutput
from atoll.guest.pid_count import PidCount
from atoll.guest.protocol import IMAGE_BYTES_MAX, FrameType, encode
from atoll.guest.python import Python, describe, outcome_of
from atoll.guest.reactor import ChildEnd, Reactor, Timer
from atoll.guest.requests import PythonRequest, StopReason
from atoll.guest.room import FULL_NOTE, Room
from atoll.guest.streams import send_text

GRACE_S: Final = 2.0
_STOP_LINES: Final[dict[StopReason, str]] = {
    "timeout": "[atoll] The call reached its time limit and was stopped.",
    "interrupted": "[atoll] The call was interrupted.",
}
_KILLED_LINE: Final = "[atoll] Python did not stop and was ended: variables are lost, files in /mnt/data are kept."


class PythonCall:
    """Runs once; ``on_end`` gets the fields of the result, or ``None`` after a failure that was answered already."""

    def __init__(
        self,
        request: PythonRequest,
        connection: Connection,
        *,
        python: Python,
        room: Room,
        reactor: Reactor,
        network_is_disabled: bool,
        pid_count: PidCount,
        on_end: Callable[[dict[str, Any] | None], None],
    ) -> None:
        self._request = request
        self._connection = connection
        self._python = python
        self._room = room
        self._reactor = reactor
        self._pid_count = pid_count
        self._on_end = on_end
        self._output = BoundedOutput(request.output_bytes_max)
        self._hint = NetworkHint(enabled=network_is_disabled)
        self._images_left = request.images_max
        self._images_omitted = 0
        self._stopped_for: StopReason | None = None
        self._timer: Timer | None = None
        self._has_ended = False

    @property
    def is_congested(self) -> bool:
        """Whether output must wait for the host. Not once the call is being stopped: what is left is bounded."""
        return self._connection.is_congested and self._stopped_for is None

    def start(self) -> None:
        """Begin; the time limit counts from here."""
        self._connection.on_drained = self._python.go_on
        self._set_timer(self._request.timeout_ms / 1000, lambda: self.stop("timeout"))
        self._room.start(
            self._attempt, on_full=lambda: self._line(FULL_NOTE), on_failure=self._no_room, on_error=self.failed
        )

    def stop(self, reason: StopReason) -> None:
        """Interrupt now, kill after a short grace; the first reason counts."""
        if self._stopped_for is not None or self._has_ended:
            return
        self._stopped_for = reason
        self._set_timer(GRACE_S, self._python.kill)
        self._python.interrupt()
        self._python.go_on()

    def text(self, data: bytes) -> None:
        """Take output."""
        self._hint.read(data)
        send_text(self._connection, FrameType.STDOUT, self._output.write(data))

    def image(self, payload: bytes) -> None:
        """Send an image on, within its number and the connection's room."""
        if self._images_left <= 0 or self._connection.is_congested or len(payload) > IMAGE_BYTES_MAX:
            self._images_omitted += 1
            return
        self._images_left -= 1
        self._connection.send(encode(FrameType.IMAGE, payload))

    def done(self, *, ok: bool) -> None:
        """The code ended by itself or by the interrupt."""
        if self._stopped_for is not None:
            self._line(_STOP_LINES[self._stopped_for])
            self._end({"type": self._stopped_for})
        else:
            self._end({"type": "ok" if ok else "error"})

    def died(self, end: ChildEnd) -> None:
        """The process ended: by our signal, by its own hand, or for want of memory."""
        if self._stopped_for is not None:
            self._line(_STOP_LINES[self._stopped_for])
            self._line(_KILLED_LINE)
            self._end({"type": self._stopped_for})
        else:
            self._line(f"[atoll] {describe(end)}. Variables are lost; files in /mnt/data are kept.")
            self._end(outcome_of(end))

    def failed(self, _error: BaseException) -> None:
        """The agent itself failed over this call."""
        self._fail("internal", "The agent failed over this call; its Python was ended.")
        self._python.kill()

    def _attempt(self) -> None:
        if self._has_ended:
            return
        if self._stopped_for is not None:
            self._end({"type": self._stopped_for})
        else:
            self._python.run(self._request.code, self, self._request.environment, html=self._request.html)

    def _no_room(self, error: OSError) -> None:
        self._fail("busy", f"Python could not be started: {error.strerror}.")

    def _line(self, line: str) -> None:
        send_text(self._connection, FrameType.STDOUT, self._output.write_line(line))

    def _set_timer(self, delay_s: float, handler: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._reactor.call_later(delay_s, handler, self.failed)

    def _end(self, outcome: dict[str, Any]) -> None:
        self._close()
        if self._hint.seen:
            self._line(NETWORK_HINT)
        for _stream, data in self._output.finish():
            send_text(self._connection, FrameType.STDOUT, data)
        self._on_end(
            {
                "outcome": outcome,
                "omitted_bytes": self._output.omitted_bytes,
                "images_omitted": self._images_omitted,
                "pids_taken": self._pid_count.total(),
            }
        )

    def _fail(self, code: str, message: str) -> None:
        if not self._has_ended:
            self._close()
            self._connection.fail(code, message)
            self._on_end(None)

    def _close(self) -> None:
        self._has_ended = True
        self._connection.on_drained = None
        if self._timer is not None:
            self._timer.cancel()
