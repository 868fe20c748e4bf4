"""An archive on its way out of a sandbox: bytes without a size, and what one that went in came to."""

import asyncio
from dataclasses import dataclass
from typing import Self

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


class ArchiveDownload:
    """The bytes of one ``archive_get``; an iterator that hangs up at its end, on an error, and when closed."""

    def __init__(self, exchange: Exchange, patience: Patience) -> None:
        self._exchange = exchange
        self._patience = patience
        self._first: bytes | None = None

    async def open(self) -> None:
        """Wait for the first bytes: what is wrong with the path is told before them."""
        self._first = await self._next()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk, self._first = self._first, None
            if chunk is None:
                chunk = await self._next()
        except BaseException:
            await self.aclose()
            raise
        if not chunk:
            await self.aclose()
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Hang up. Never raises; may be repeated."""
        await self._exchange.aclose()

    async def _next(self) -> bytes:
        until = asyncio.get_running_loop().time() + self._patience.idle_s
        frame_type, payload = await self._exchange.receive(until=until)
        if frame_type is FrameType.RESULT:
            self._exchange.expect_end()
            return b""
        if frame_type is not FrameType.DATA or not payload:
            raise AgentMisbehavedError(f"a {frame_type.name} frame of {len(payload)} bytes among an archive's")
        return payload


def read_unpacked(fields: Fields) -> AgentUnpacked:
    """Check the result of an ``archive_put``."""
    return AgentUnpacked(**{name: read_integer(fields, name, 0, INT64_MAX) for name in AgentUnpacked.__slots__})
