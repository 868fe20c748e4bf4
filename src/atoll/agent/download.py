"""Reading a file out of a sandbox: exactly the bytes that were announced, or an error."""

from atoll.agent.chunks import Chunks
from atoll.agent.errors import AgentGoneError, AgentMisbehavedError, AgentRefusedError
from atoll.agent.exchange import Exchange
from atoll.agent.fields import INT64_MAX, read_fields, read_integer, read_string
from atoll.agent.patience import Patience
from atoll.guest.protocol import FrameType


class Download(Chunks):
    """The bytes of one ``file_get``."""

    def __init__(self, exchange: Exchange, patience: Patience) -> None:
        super().__init__(exchange, patience)
        self._bytes_left = 0

    async def open(self, offset: int, length: int | None) -> int:
        """Wait for the file to be opened; gives its size."""
        frame_type, payload = await self._receive()
        if frame_type is not FrameType.EVENT:
            raise AgentMisbehavedError(f"a {frame_type.name} frame before the file was opened")
        fields = read_fields(payload)
        if read_string(fields, "event") != "opened":
            raise AgentMisbehavedError("an event that has no place before a file's bytes")
        size = read_integer(fields, "size", 0, INT64_MAX)
        rest = max(0, size - offset)
        self._bytes_left = rest if length is None else min(rest, length)
        return size

    async def _next(self) -> bytes:
        try:
            frame_type, payload = await self._receive()
        except AgentGoneError:
            if self._bytes_left:
                raise
            return b""  # every byte is here: the container was deleted before the agent could say so
        if frame_type is FrameType.RESULT:
            self._check_end()
            return b""
        if frame_type is not FrameType.DATA or not payload:
            raise AgentMisbehavedError(f"a {frame_type.name} frame of {len(payload)} bytes among a file's")
        self._bytes_left -= len(payload)
        if self._bytes_left < 0:
            raise AgentMisbehavedError("more bytes than were asked for")
        return payload

    def _check_end(self) -> None:
        self._exchange.expect_end()
        if self._bytes_left:
            # No misbehaviour: people's code may cut a file short at any time, and the size was given before.
            raise AgentRefusedError("internal", "the file became shorter while it was read")
