"""Several at once, each thing once."""

import asyncio

import pytest

from atoll.reconcile.abreast import abreast


async def test_each_thing_once_and_no_more_at_once_than_said() -> None:
    running = most = 0

    async def work(thing: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return thing * 2

    assert sorted(await abreast(work, range(10), at_once=3)) == list(range(0, 20, 2))
    assert most == 3
    assert await abreast(work, []) == []


async def test_a_failure_ends_the_others() -> None:
    begun: list[int] = []

    async def work(thing: int) -> None:
        begun.append(thing)
        if thing == 1:
            raise ZeroDivisionError
        await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        await abreast(work, range(10), at_once=2)
    assert caught.group_contains(ZeroDivisionError)
    assert begun == [0, 1]
