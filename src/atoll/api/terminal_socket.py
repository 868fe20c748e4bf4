"""A WebSocket with a terminal at its other end.

Binary messages are the terminal's bytes, both ways; text messages are JSON with a ``type``. Every end is told in one,
and then in the code that the connection is closed with: 1000 when the shell has ended, else 4000 and the status that
the same error has elsewhere.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Literal

import msgspec
from litestar.types import Receive, Scope, Send

from atoll.api.errors import ErrorBody, failure_of
from atoll.api.patient_send import PIECE_S_MAX
from atoll.api.upgrade import CLOSE_CODE_OF_STATUS
from atoll.model.errors import InvalidRequestError
from atoll.model.terminals import TerminalEnded, TerminalSignal, TerminalSize
from atoll.service.terminals import AttachedTerminal

REASON_BYTES_MAX: Final = 123
"""What fits into a frame that closes a connection (RFC 6455)."""

_REASON_CHARS_MAX: Final = 100

# What a connection that ended without an error is closed with.
_ENDS: Final[dict[str, tuple[int, str]]] = {
    "exited": (1000, "The shell has ended."),
    "taken_over": (4409, "Another connection has taken the terminal over."),
    "closed": (4410, "The terminal was closed."),
    "restarted": (4410, "The container was restarted, which ends its terminals."),
    "failed": (4500, "The terminal failed."),
}

Ended = Literal["exited", "taken_over", "closed", "restarted", "failed", "client", "slow", "error"]


class Resize(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="resize"):
    """From the client: the size of its window, in characters."""

    cols: int
    rows: int


class SendSignal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="signal"):
    """From the client: a signal for the program in the foreground."""

    signal: TerminalSignal


class AttachedMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="attached"):
    """To the client, first: which terminal it is. ``cols`` and ``rows`` are its size."""

    terminal_id: str
    container_id: str
    cols: int
    rows: int


class ExitMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="exit"):
    """To the client, last: the shell has ended, by itself or by a signal."""

    exit_code: int | None
    signal: int | None


class DetachedMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="detached"):
    """To the client, last: it has the terminal no more."""

    reason: str
    message: str


class ErrorMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="error"):
    """To the client: a message that could not be used, after which all goes on, or last: what ended the connection."""

    error: ErrorBody


_orders: Final = msgspec.json.Decoder(Resize | SendSignal)


class TerminalSocket:
    """The client's end: accepted already, and closed here. ``count`` gets the bytes of each direction."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, count: Callable[[Literal["in", "out"], int], None]
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._count = count
        self._is_gone = False

    async def converse(self, terminal: AttachedTerminal) -> Ended:
        """Pass everything on until either side ends; give which. Raises what ``terminal`` raises."""
        outward, inward = self._task(self._outward(terminal)), self._task(self._inward(terminal))
        try:
            await asyncio.wait((outward, inward), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (outward, inward):
                task.cancel()
            await asyncio.wait((outward, inward))
        # What the terminal said last counts, also when the client has left in that moment.
        return (inward if outward.cancelled() else outward).result()

    async def tell(self, message: msgspec.Struct) -> bool:
        """Send a message; tells whether the client took it in time."""
        return await self._pass_on({"type": "websocket.send", "text": msgspec.json.encode(message).decode()})

    async def end(self, ended: TerminalEnded) -> Ended:
        """Say why the terminal is not there any more, and close."""
        code, reason = _ENDS[ended.reason]
        if ended.reason == "exited":
            await self.tell(ExitMessage(exit_code=ended.exit_code, signal=ended.signal))
        else:
            await self.tell(DetachedMessage(reason=ended.reason, message=reason))
        await self._close(code, reason)
        return ended.reason

    async def fail(self, error: Exception) -> None:
        """Say what went wrong, and close."""
        failure = failure_of(error, self._scope)
        await self.tell(ErrorMessage(error=failure.error))
        await self._close(CLOSE_CODE_OF_STATUS + failure.status, failure.error.message)

    async def _outward(self, terminal: AttachedTerminal) -> Ended:
        while True:
            shown = await terminal.receive()
            if isinstance(shown, TerminalEnded):
                return await self.end(shown)
            if not await self._pass_on({"type": "websocket.send", "bytes": shown}):
                return "client" if self._is_gone else "slow"
            self._count("out", len(shown))

    async def _inward(self, terminal: AttachedTerminal) -> Ended:
        while True:
            message = await self._receive()
            if message["type"] != "websocket.receive":
                self._is_gone = True
                return "client"
            typed = message.get("bytes")
            if typed:
                self._count("in", len(typed))
                await terminal.type(typed)
            elif (text := message.get("text")) is not None:
                await self._obey(terminal, text)

    async def _obey(self, terminal: AttachedTerminal, text: str) -> None:
        try:
            order = read_order(text)
            if isinstance(order, Resize):
                await terminal.resize(TerminalSize(order.cols, order.rows))
                return
        except InvalidRequestError as error:
            await self.tell(ErrorMessage(error=failure_of(error, self._scope).error))
            return
        await terminal.signal(order.signal)

    async def _pass_on(self, message: dict[str, Any]) -> bool:
        """Send, but not to a client that has stopped reading: what is on its way to it has filled its buffers."""
        try:
            async with asyncio.timeout(PIECE_S_MAX):
                await self._send(message)  # type: ignore[arg-type]  # a message of the protocol all the same
        except TimeoutError:
            return False
        except OSError:
            self._is_gone = True
            return False
        return True

    async def _close(self, code: int, reason: str) -> None:
        await self._pass_on({"type": "websocket.close", "code": code, "reason": fitting(reason)})

    def _task(self, work: Coroutine[Any, Any, Ended]) -> asyncio.Task[Ended]:
        return asyncio.create_task(work)


def read_order(text: str) -> Resize | SendSignal:
    """Read a text message of the client's. Raises ``InvalidRequestError``."""
    try:
        order: Resize | SendSignal = _orders.decode(text)
    except msgspec.DecodeError as error:
        raise InvalidRequestError(f"The message cannot be used: {error}.", code="invalid_message") from None
    return order


def fitting(reason: str) -> str:
    """Cut a reason to what a closing frame holds."""
    if len(reason.encode()) <= REASON_BYTES_MAX:
        return reason
    return reason.encode()[: REASON_BYTES_MAX - 3].decode(errors="ignore") + "…"
