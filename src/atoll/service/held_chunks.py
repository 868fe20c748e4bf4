"""Bytes on their way out, and what has to be let go of when the last one is gone."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Self

from atoll.service.failures import translated


class HeldChunks:
    """Chunks that hold something until their end, an error, or ``aclose``.

    Not an async generator: closing one that was never begun would not run its ``finally``.
    """

    def __init__(self, chunks: AsyncIterator[bytes], held: AsyncExitStack) -> None:
        self._chunks = chunks
        self._held = held

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            with translated():
                return await anext(self._chunks)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Let go. May be repeated, also before the first chunk was taken."""
        await self._held.aclose()
