"""A terminal in a sandbox that the host is connected to: bytes both ways until either side has enough."""

from dataclasses import dataclass
from typing import Any, Final

from atoll.agent.errors import AgentMisbehavedError
from atoll.agent.exchange import Exchange
from atoll.agent.fields import (
    Fields,
    read_boolean,
    read_fields,
    read_integer,
    read_objects,
    read_optional_integer,
    read_string,
)
from atoll.agent.outcome import EXIT_CODE_MAX, SIGNAL_MAX
from atoll.guest.protocol import FrameType, encode, encode_json
from atoll.model.terminals import SIZE_MAX, TerminalEnded, TerminalEndReason, TerminalSignal, TerminalSize

_REASONS: Final[dict[str, TerminalEndReason]] = {
    reason: reason for reason in ("exited", "taken_over", "closed", "restarted", "failed")
}
_LISTED_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class ListedTerminal:
    """One of a sandbox's terminals."""

    id: str
    size: TerminalSize
    is_attached: bool


class AgentTerminal:
    """One connection to a terminal. ``aclose`` only disconnects."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._ended: TerminalEnded | None = None

    async def receive(self) -> bytes | TerminalEnded:
        """Wait for what is shown, at most a few hundred kilobytes, or the end. Raises ``AgentError``."""
        if self._ended is not None:
            return self._ended
        shown = bytearray()
        for frame_type, payload in await self._exchange.receive_some():
            match frame_type:
                case FrameType.DATA:
                    shown += payload
                case FrameType.RESULT:
                    self._ended = read_ended(read_fields(payload))
                case _:
                    raise AgentMisbehavedError(f"a {frame_type.name} frame has no place in a terminal")
        return bytes(shown) if shown or self._ended is None else self._ended

    async def write(self, data: bytes, *, within_s: float) -> None:
        """Type. Raises ``AgentOverdueError`` when nobody takes it in time, and ``ConnectionError``."""
        await self._exchange.send(encode(FrameType.DATA, data), within_s=within_s)

    async def resize(self, size: TerminalSize, *, within_s: float) -> None:
        """Change the size. Raises as ``write`` does."""
        await self._order({"op": "resize", "columns": size.columns, "rows": size.rows}, within_s)

    async def signal(self, name: TerminalSignal, *, within_s: float) -> None:
        """Signal the program in the foreground. Raises as ``write`` does."""
        await self._order({"op": "signal", "signal": name}, within_s)

    async def aclose(self) -> None:
        """Disconnect; the terminal goes on. Never raises; may be repeated."""
        await self._exchange.aclose()

    async def _order(self, order: dict[str, Any], within_s: float) -> None:
        await self._exchange.send(encode_json(FrameType.REQUEST, order), within_s=within_s)


def read_attached(frame_type: FrameType, payload: bytes, terminal_id: str) -> None:
    """Check the first frame of a connection. Raises ``AgentMisbehavedError``."""
    if frame_type is not FrameType.EVENT:
        raise AgentMisbehavedError(f"a {frame_type.name} frame instead of word of the terminal")
    fields = read_fields(payload)
    if read_string(fields, "event") != "attached" or read_string(fields, "id") != terminal_id:
        raise AgentMisbehavedError("another terminal than was asked for")


def read_ended(fields: Fields) -> TerminalEnded:
    """Check the result of a connection."""
    reason = _REASONS.get(read_string(fields, "reason"))
    if reason is None:
        raise AgentMisbehavedError("a terminal ended for a reason that is none")
    if reason != "exited":
        return TerminalEnded(reason)
    signal = read_optional_integer(fields, "signal", 1, SIGNAL_MAX)
    exit_code = read_optional_integer(fields, "exit_code", 0, EXIT_CODE_MAX)
    return TerminalEnded(reason, exit_code=exit_code if signal is None else None, signal=signal)


def read_terminals(fields: Fields) -> tuple[ListedTerminal, ...]:
    """Check the result of ``terminal_list``; the ids are whatever the agent says."""
    return tuple(_read_terminal(item) for item in read_objects(fields, "terminals", _LISTED_MAX))


def _read_terminal(fields: Fields) -> ListedTerminal:
    size = TerminalSize(read_integer(fields, "columns", 1, SIZE_MAX), read_integer(fields, "rows", 1, SIZE_MAX))
    return ListedTerminal(read_string(fields, "id"), size, read_boolean(fields, "attached"))
