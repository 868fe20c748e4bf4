"""``/mcp``: the Model Context Protocol, whose library is loaded with the first request."""

import asyncio
import importlib
from typing import TYPE_CHECKING, Final, cast

from litestar import asgi
from litestar.types import ASGIApp, HTTPReceiveMessage, Receive, Scope, Send, WebSocketReceiveMessage

from atoll.api.body import read_body

if TYPE_CHECKING:
    from atoll.mcp.over_http import McpOverHttp

MCP: Final = "mcp"
"""Key of the application's ``Mcp`` in its state."""

_BODY_BYTES_MAX: Final = 32 << 20


class Mcp:
    """Answers with tools that ask ``api``, the whole application, as their caller would."""

    def __init__(self, api: ASGIApp) -> None:
        self._api = api
        self._lock = asyncio.Lock()
        self._tools: McpOverHttp | None = None

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises ``PayloadTooLargeError``, and ``ClientGoneError`` where its body breaks off."""
        body = await read_body(scope, receive, _BODY_BYTES_MAX)
        async with self._lock:
            if self._tools is None:
                # Over a second: in a thread, so that others are answered meanwhile.
                module = await asyncio.to_thread(importlib.import_module, "atoll.mcp.over_http")
                self._tools = module.McpOverHttp(self._api, _BODY_BYTES_MAX)
            tools = self._tools
        await tools(scope, _again(body, receive), send)

    async def aclose(self) -> None:
        """End what is left of requests."""
        if self._tools is not None:
            await self._tools.aclose()


@asgi("/mcp", copy_scope=True)
async def mcp(scope: Scope, receive: Receive, send: Send) -> None:
    await cast("Mcp", scope["litestar_app"].state[MCP]).answer(scope, receive, send)


def _again(body: bytes, receive: Receive) -> Receive:
    """Give a body that was read before, and then whatever comes."""
    is_given = False

    async def give() -> HTTPReceiveMessage | WebSocketReceiveMessage:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return give
