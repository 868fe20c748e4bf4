"""Work that goes to its end although the one who waits for it is cancelled."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def finish(work: Awaitable[T]) -> T:
    """Wait for ``work``; when cancelled meanwhile, wait on and only then let the cancellation out.

    ``work`` has to be bounded in time by itself. Its own error is lost when the waiter was cancelled.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                continue  # asked again; the answer stays: when it is done
        if not task.cancelled():
            task.exception()  # retrieved, so that it is not reported as forgotten
        raise
