"""An archive on its way out of a sandbox: bytes without a size, and what one that went in came to."""

from dataclasses import dataclass

from atoll.agent.chunks import Chunks
from atoll.agent.errors import AgentMisbehavedError
from atoll.agent.exchange import Exchange
from atoll.agent.fields import INT64_MAX, Fields, read_integer
from atoll.agent.patience import Patience
from atoll.guest.protocol import FrameType


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentUnpacked:
    """What an archive had in it; ``links`` are symbolic and hard ones."""

    files: int
    folders: int
    links: int
    bytes: int


class ArchiveDownload(Chunks):
    """The bytes of one ``archive_get``."""

    def __init__(self, exchange: Exchange, patience: Patience) -> None:
        super().__init__(exchange, patience)
        self._first: bytes | None = None

    async def open(self) -> None:
        """Wait for the first bytes: what is wrong with the path is told before them."""
        self._first = await self._next()

    async def _next(self) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        frame_type, payload = await self._receive()
        if frame_type is FrameType.RESULT:
            self._exchange.expect_end()
            return b""
        if frame_type is not FrameType.DATA or not payload:
            raise AgentMisbehavedError(f"a {frame_type.name} frame of {len(payload)} bytes among an archive's")
        return payload


def read_unpacked(fields: Fields) -> AgentUnpacked:
    """Check the result of an ``archive_put``."""
    return AgentUnpacked(**{name: read_integer(fields, name, 0, INT64_MAX) for name in AgentUnpacked.__slots__})
