"""The outermost layer, asked directly: what becomes of a connection whose client went away."""

from typing import Any, cast

import pytest
from litestar.types import Receive, Scope, Send

from atoll.api.edge import Edge
from atoll.api.errors import ClientGoneError
from atoll.api.metrics import Metrics
from atoll.api.scope import ABORT


@pytest.mark.parametrize("is_whole", [True, False])
async def test_a_connection_is_dropped_when_its_client_goes_before_the_answers_end(is_whole: bool) -> None:
    """After the end, the same is seen of every client, and the next request may be on its way."""
    aborted: list[bool] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": not is_whole})
        raise ClientGoneError

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(_message: object) -> None:
        pass

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/health",
        "headers": [],
        "extensions": {ABORT: {"now": lambda: aborted.append(True)}},
    }
    await Edge(app, Metrics())(cast("Scope", scope), receive, send)
    assert bool(aborted) is not is_whole
