"""``atoll mcp``: the tools for a client that starts this program and speaks by its standard input and output."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx

from atoll.mcp.client import Client
from atoll.mcp.tools import build_server


def serve(http: httpx.AsyncClient) -> None:
    """Answer until standard input ends. ``http`` knows base URL and key of the server that is asked."""

    @asynccontextmanager
    async def open_client(_request: Any) -> AsyncIterator[Client]:
        yield Client(http)

    async def run() -> None:
        async with http:
            await build_server(open_client).run_stdio_async()

    anyio.run(run)
