"""Work goes on while its client is there, and is ended with it; who cancelled what is told apart."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from atoll.api.errors import ClientGoneError
from atoll.api.watch import while_connected
from tests.unit.service.world import eventually


class Client:
    """Goes when the test says so."""

    def __init__(self) -> None:
        self.goes = asyncio.Event()
        self.asked = 0

    async def receive(self) -> Any:
        self.asked += 1
        await self.goes.wait()
        return {"type": "http.disconnect"}


class Work:
    """Waits until it is done or cancelled, and then for its cleaning up."""

    def __init__(self) -> None:
        self.done, self.has_begun, self.cleaned = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.cancelled = False

    async def run(self) -> str:
        self.has_begun.set()
        try:
            await self.done.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            await self.cleaned.wait()
            raise
        return "done"


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def work() -> Work:
    return Work()


def begin(client: Client, work: Work) -> "asyncio.Task[str]":
    return asyncio.create_task(while_connected(client.receive, work.run()))


def only_this_task() -> Callable[[], bool]:
    before = asyncio.all_tasks()
    return lambda: asyncio.all_tasks() <= before


async def test_quick_work_asks_nobody(client: Client, work: Work) -> None:
    work.done.set()
    assert await begin(client, work) == "done"
    assert client.asked == 0


async def test_longer_work_is_watched_and_the_watch_ends_with_it(client: Client, work: Work) -> None:
    nothing_left = only_this_task()
    task = begin(client, work)
    await eventually(lambda: client.asked == 1)
    work.done.set()
    assert await task == "done"
    assert nothing_left()


async def test_a_client_that_goes_ends_the_work(client: Client, work: Work) -> None:
    nothing_left = only_this_task()
    task = begin(client, work)
    client.goes.set()
    await eventually(lambda: work.cancelled)
    assert not task.done()  # it cleans up
    work.cleaned.set()
    with pytest.raises(ClientGoneError):
        await task
    assert nothing_left()


async def test_what_fails_while_cleaning_up_is_still_the_client_s_going(client: Client) -> None:
    async def failing() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError

    client.goes.set()
    with pytest.raises(ClientGoneError):
        await while_connected(client.receive, failing())


async def test_the_server_s_own_cancelling_comes_out_as_such(client: Client, work: Work) -> None:
    task = begin(client, work)
    await work.has_begun.wait()
    task.cancel()
    work.cleaned.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_both_at_once_is_the_server_s(client: Client, work: Work) -> None:
    task = begin(client, work)
    client.goes.set()
    await eventually(lambda: work.cancelled)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_the_work_raises_comes_out(client: Client) -> None:
    async def failing() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await while_connected(client.receive, failing())


async def test_time_outs_inside_are_their_own(client: Client) -> None:
    async def slow() -> str:
        try:
            async with asyncio.timeout(0.05):
                await asyncio.Event().wait()
        except TimeoutError:
            return "too slow"
        raise AssertionError

    assert await while_connected(client.receive, slow()) == "too slow"
    assert client.asked == 1
