"""Sending what is held in memory until it is sent: only to clients that read."""

import asyncio
from typing import Final

from litestar.types import Send

from atoll.api.errors import ClientGoneError

PIECE_S_MAX: Final = 60.0
"""A client that takes longer for what is on its way to it counts as gone."""


async def send_body(send: Send, data: bytes, *, more: bool, within_s: float = PIECE_S_MAX) -> None:
    """Send a part of a body. Raises ``ClientGoneError`` when the client stopped reading."""
    try:
        async with asyncio.timeout(within_s):
            await send({"type": "http.response.body", "body": data, "more_body": more})
    except TimeoutError:
        raise ClientGoneError from None
