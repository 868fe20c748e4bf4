"""``/mcp``: the tools for clients that speak the protocol over HTTP, each request for itself.

No session is kept: a request names its key, and a server that was started again goes on with the next one.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
from mcp.server.transport_security import TransportSecuritySettings

from atoll.mcp.client import Client
from atoll.mcp.tools import build_server

_NO_TIMEOUT: Final = httpx.Timeout(None)  # calls may wait for their turn, and end by themselves
_KEY_HEADERS: Final = ("authorization", "api-key")
# Against pages that reach a server by a name of their own; here every request has to bring a key, which they lack.
_ANY_HOST: Final = TransportSecuritySettings(enable_dns_rebinding_protection=False)


# It tells of every refusal, which is in our own log and metrics already.
logging.getLogger("mcp").setLevel(logging.WARNING)


class McpOverHttp:
    """An ASGI application for one path; ``api`` is the application that the tools ask, in this process.

    A request's body is read before, and has at most ``body_bytes_max``.
    """

    def __init__(self, api: Any, body_bytes_max: int) -> None:
        self._transport = httpx.ASGITransport(api)
        server = build_server(self._open_client)
        server.streamable_http_app(
            stateless_http=True, max_request_body_size=body_bytes_max, transport_security=_ANY_HOST
        )
        self._manager = server.session_manager
        self._stop = asyncio.Event()
        self._started = asyncio.Event()
        self._running = asyncio.create_task(self._run(), name="mcp")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        await self._started.wait()
        await self._manager.handle_request(scope, receive, send)

    async def aclose(self) -> None:
        """End what is left of requests."""
        self._stop.set()
        await self._running

    async def _run(self) -> None:
        # In a task of its own: what the manager opens has to be closed by the one who opened it.
        async with self._manager.run():
            self._started.set()
            await self._stop.wait()

    @asynccontextmanager
    async def _open_client(self, request: Any) -> AsyncIterator[Client]:
        """Ask with the key of the one who asks."""
        headers = {name: value for name in _KEY_HEADERS if (value := request.headers.get(name)) is not None}
        async with httpx.AsyncClient(
            transport=self._transport, base_url="http://atoll.invalid/v1", headers=headers, timeout=_NO_TIMEOUT
        ) as http:
            yield Client(http)
