"""What the edge and the handlers tell each other about a request, kept in its ASGI scope."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

from litestar.types import Receive, RouteHandlerType, Scope

RETRY_UNSAFE: Final = "retry_unsafe"
"""Key in a handler's ``opt``: what it does must not be done twice only because an answer was lost."""

ABORT: Final = "atoll.abort"
"""Key among a scope's ``extensions``: under ``now``, what drops the connection with all that waits to be sent."""

_GONE_S_MAX: Final = 1.0

_REQUEST_ID: Final = "atoll.request_id"
_METHOD: Final = "atoll.method"


async def hang_up(scope: Scope, receive: Receive) -> None:
    """Drop the connection of a client that went away, or that does not read: closing would wait until it has."""
    abort = (scope.get("extensions") or {}).get(ABORT)
    if abort is None:
        return
    cast("Callable[[], None]", abort["now"])()
    with suppress(TimeoutError):
        async with asyncio.timeout(_GONE_S_MAX):
            while (await receive())["type"] != "http.disconnect":
                pass


def mark(scope: Scope, *, request_id: str) -> None:
    """Note the request's id and the method it really came with."""
    noted = cast("dict[str, object]", scope)
    noted[_REQUEST_ID] = request_id
    noted[_METHOD] = scope.get("method", "")


def request_id_of(scope: Scope) -> str:
    """Give the id that the answer's ``x-request-id`` carries."""
    return str(scope.get(_REQUEST_ID, "req_unknown"))


def method_of(scope: Scope) -> str:
    """Give the method as it was sent: routing sees ``GET`` where it was ``HEAD``."""
    return str(scope.get(_METHOD, ""))


def is_head(scope: Scope) -> bool:
    """Tell whether the answer's headers are wanted without its body."""
    return method_of(scope) == "HEAD"


def is_retry_unsafe(scope: Scope) -> bool:
    """Tell whether the route says that repeating it is not safe."""
    handler: RouteHandlerType | None = cast("dict[str, Any]", scope).get("route_handler")
    return handler is not None and bool(handler.opt.get(RETRY_UNSAFE))
