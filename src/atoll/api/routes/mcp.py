"""``/mcp``: the Model Context Protocol, whose library is loaded with the first request."""

import asyncio
import importlib
from typing import TYPE_CHECKING, Final, cast

from litestar import asgi
from litestar.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from atoll.mcp.over_http import McpOverHttp

MCP: Final = "mcp"
"""Key of the application's ``Mcp`` in its state."""


class Mcp:
    """Answers with tools that ask ``api``, the whole application, as their caller would."""

    def __init__(self, api: ASGIApp) -> None:
        self._api = api
        self._lock = asyncio.Lock()
        self._tools: McpOverHttp | None = None

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        async with self._lock:
            if self._tools is None:
                # Over a second: in a thread, so that others are answered meanwhile.
                module = await asyncio.to_thread(importlib.import_module, "atoll.mcp.over_http")
                self._tools = module.McpOverHttp(self._api)
            tools = self._tools
        await tools(scope, receive, send)

    async def aclose(self) -> None:
        """End what is left of requests."""
        if self._tools is not None:
            await self._tools.aclose()


@asgi("/mcp", copy_scope=True)
async def mcp(scope: Scope, receive: Receive, send: Send) -> None:
    await cast("Mcp", scope["litestar_app"].state[MCP]).answer(scope, receive, send)
