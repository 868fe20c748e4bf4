"""The answer to a request for an archive: bytes as they come, of which nobody knows how many there will be."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from litestar.types import Receive, Scope, Send

from atoll.api.errors import ClientGoneError
from atoll.api.scope import is_head
from atoll.api.watch import while_connected
from atoll.model.files import ClosableChunks


class ArchiveDownload:
    """``open_chunks`` starts the packing; what fails later breaks the answer off, so that it shows."""

    def __init__(self, open_chunks: Callable[[], Awaitable[ClosableChunks]], media_type: str) -> None:
        self._open = open_chunks
        self._media_type = media_type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the bytes. Raises what ``open_chunks`` raised."""
        chunks = await self._open()
        try:
            headers = [(b"content-type", self._media_type.encode("ascii"))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            if is_head(scope):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            else:
                with suppress(ClientGoneError):
                    await while_connected(receive, _send_all(chunks, send))
        finally:
            await chunks.aclose()


async def _send_all(chunks: ClosableChunks, send: Send) -> None:
    async for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        # Where neither reading nor sending has to wait, nothing else would let others have their turn.
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b"", "more_body": False})
