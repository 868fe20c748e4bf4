"""The same work on many things, several at once: where each mostly waits for somebody else."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE: Final = 8


async def abreast(work: Callable[[T], Awaitable[R]], things: Iterable[T], at_once: int = AT_ONCE) -> list[R]:
    """Do the work on each thing; give what came of it, in no order.

    The first failure cancels what is under way and comes out in an ``ExceptionGroup``.
    """
    left = iter(things)
    done: list[R] = []

    async def take_one_after_another() -> None:
        done.extend([await work(thing) for thing in left])

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(take_one_after_another())
    return done
