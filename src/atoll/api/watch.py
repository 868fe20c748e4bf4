"""Work that is worth doing only while somebody waits for it.

A client that hangs up does not end its request by itself: somebody must ask ``receive`` and act. Here the work runs
in a task beside that question; when the client goes, the work is cancelled and seen to its end before this returns.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from litestar.types import Receive

from atoll.api.errors import ClientGoneError

T = TypeVar("T")


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Do the work and give its result; the request's body must have been read to its end.

    Raises ``ClientGoneError`` when the client went first, and whatever the work raises.
    """
    working = asyncio.create_task(work)
    gone = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGoneError
    finally:
        await _end(working, gone)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel what still runs and wait for it, also when this task itself is being cancelled."""
    for task in tasks:
        task.cancel()
    remaining = asyncio.gather(*tasks, return_exceptions=True)
    try:
        await asyncio.shield(remaining)
    except asyncio.CancelledError:
        await remaining
        raise
