"""Sending a file in while listening: an agent may refuse at any byte, and must not be talked over."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from atoll.agent.errors import AgentMisbehavedError, AgentOverdueError
from atoll.agent.exchange import Exchange, frames_of
from atoll.agent.fields import Fields
from atoll.agent.patience import Patience
from atoll.guest.protocol import FrameType, encode

# Half of what an agent takes: sandboxes outlive the server, and those that were started by an older one take no more.
FRAME_BYTES_MAX: Final = 256 * 1024


class Upload:
    """The bytes of one ``file_put`` on their way, after its request."""

    def __init__(self, exchange: Exchange, chunks: AsyncIterator[bytes], patience: Patience) -> None:
        self._exchange = exchange
        self._chunks = chunks
        self._patience = patience
        self._end_begun = False

    async def run(self) -> Fields:
        """Send every chunk and give the agent's result; what ``chunks`` raises comes out unchanged.

        The sender and the listener are two tasks, both ended here: were there one, an agent that writes its refusal
        and an unread upload could wait for each other.
        """
        listening = asyncio.create_task(self._listen())
        sending = asyncio.create_task(self._send())
        try:
            await asyncio.wait({listening, sending}, return_when=asyncio.FIRST_COMPLETED)
            if not listening.done():
                await self._sent_and_settled(sending, listening)
            return listening.result()
        finally:
            for task in (listening, sending):
                task.cancel()
            await asyncio.gather(listening, sending, return_exceptions=True)

    async def _sent_and_settled(self, sending: asyncio.Task[None], listening: asyncio.Task[Fields]) -> None:
        sending.result()
        await asyncio.wait({listening}, timeout=self._patience.settle_s)
        if not listening.done():
            raise AgentOverdueError("the agent did not settle an upload in time")

    async def _listen(self) -> Fields:
        result = await self._exchange.receive_result(until=None)
        if not self._end_begun:
            raise AgentMisbehavedError("the agent answered before it had the whole file")
        return result

    async def _send(self) -> None:
        async for chunk in self._chunks:
            for frame in frames_of(chunk, FRAME_BYTES_MAX):
                if not await self._send_frame(frame):
                    return
        self._end_begun = True
        await self._send_frame(encode(FrameType.END))

    async def _send_frame(self, frame: bytes) -> bool:
        try:
            await self._exchange.send(frame, within_s=self._patience.idle_s)
        except ConnectionError:
            return False  # the listener hears why
        return True
