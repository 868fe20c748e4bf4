"""Bytes on their way out of a sandbox: what holds for each such operation, whatever it reads."""

import asyncio
from abc import ABC, abstractmethod
from typing import Self

from atoll.agent.exchange import Exchange, Frame
from atoll.agent.patience import Patience


class Chunks(ABC):
    """An iterator over an operation's bytes that hangs up at their end, on an error, and when closed."""

    def __init__(self, exchange: Exchange, patience: Patience) -> None:
        self._exchange = exchange
        self._patience = patience

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
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

    async def _receive(self) -> Frame:
        """Wait for the next frame, as long as an agent may take for one."""
        until = asyncio.get_running_loop().time() + self._patience.idle_s
        return await self._exchange.receive(until=until)

    @abstractmethod
    async def _next(self) -> bytes:
        """Give the next bytes, none at the end."""
