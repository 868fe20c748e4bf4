"""Puts a small stand-in for ``atoll.server`` in place, so that the launcher is tested without the server's weight.

It answers ``/health``, tells who it is at ``/who``, and at ``/slow?PATH`` answers when
the FIFO at that path has been written and closed.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

Send = Callable[[dict[str, Any]], Awaitable[None]]


def create_app(settings: Any, *, first_key: str | None = None, vault_key: str | None = None) -> Any:
    """Give an ASGI application."""

    async def app(scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]], send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        body = b"{}"
        if scope["path"] == "/who":
            body = json.dumps(_who(settings, first_key)).encode()
        if scope["path"] == "/slow":
            await asyncio.to_thread(Path(scope["query_string"].decode()).read_bytes)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    app.begin_stopping = lambda: None  # type: ignore[attr-defined] # as the real one has it
    return app


def _who(settings: Any, first_key: str | None) -> dict[str, Any]:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return {
        "pid": os.getpid(),
        "uid": os.getuid(),
        "groups": os.getgroups(),
        "key": first_key,
        "data_dir": str(settings.data_dir),
        "status": dict(line.split(":\t", 1) for line in status.splitlines()),
        "environ": dict(os.environ),
    }


async def _live(receive: Callable[[], Awaitable[dict[str, Any]]], send: Send) -> None:
    await receive()
    if "FAKE_SERVER_FAILS" in os.environ:
        await send({"type": "lifespan.startup.failed", "message": "the fake server does not want to"})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


module = ModuleType("atoll.server")
vars(module)["create_app"] = create_app
sys.modules["atoll.server"] = module
