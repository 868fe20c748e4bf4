"""Work that is worth doing only while somebody waits for it.

A client that hangs up does not end its request by itself: somebody must ask ``receive`` and act. Here that is a task
beside the work, which cancels it when the client goes. It is not begun for work of a few milliseconds: most is of that
sort, and to begin and end a task takes a good part of it.
"""

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

from litestar.types import Receive

from atoll.api.errors import ClientGoneError

T = TypeVar("T")

_AFTER_S: Final = 0.005


async def while_connected(receive: Receive, work: Awaitable[T]) -> T:
    """Do the work and give its result; the request's body must have been read to its end.

    Raises ``ClientGoneError`` when the client went first; the work was cancelled then and has come to its end. Raises
    whatever the work raises.
    """
    watch = _Watch(receive)
    try:
        return await work
    except BaseException:
        if watch.has_cancelled():
            raise ClientGoneError from None
        raise
    finally:
        await watch.end()


class _Watch:
    """Cancels the task that made it when the client goes."""

    def __init__(self, receive: Receive) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - it is made in a coroutine, and a server runs those in tasks
        self._worker = task
        self._cancelled_before = task.cancelling()
        self._receive = receive
        self._is_gone = False
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(_AFTER_S, self._begin)

    def has_cancelled(self) -> bool:
        """Tell whether it was this that cancelled the work, and nobody else; to be asked once, after the work."""
        return self._is_gone and self._worker.uncancel() <= self._cancelled_before

    async def end(self) -> None:
        """End with the work."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        self._worker.cancel()
