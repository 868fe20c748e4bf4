"""One budget over all answers: bounded, small ones free, nobody stuck for good."""

import asyncio

import pytest

from atoll.service.answer_room import FREE_BYTES, AnswerRoom, NoAnswerRoomError, Share

SOON_S = 0.01
LATE_S = 60.0


def room(bytes_max: int, one_answer_bytes_max: int = 0, *, wait_s: float = SOON_S) -> AnswerRoom:
    return AnswerRoom(bytes_max, one_answer_bytes_max, wait_s=wait_s)


async def large(of: AnswerRoom, size: int) -> Share:
    """Give a share that holds ``size`` bytes beyond what is free."""
    share = of.share()
    await share.take(FREE_BYTES + size)
    return share


async def waits(task: asyncio.Task[None]) -> bool:
    """Tell whether a task still waits after all others had their turn."""
    for _ in range(5):
        await asyncio.sleep(0)
    return not task.done()


async def test_the_free_bytes_need_no_room_and_one_more_does() -> None:
    full = room(0)
    share = full.share()
    await share.take(FREE_BYTES)
    assert full.taken_bytes == 0
    with pytest.raises(NoAnswerRoomError):
        await share.take(1)


async def test_up_to_the_limit_and_not_one_byte_more() -> None:
    some = room(100)
    share = await large(some, 100)
    assert some.taken_bytes == 100
    with pytest.raises(NoAnswerRoomError):
        await share.take(1)
    share.release()
    share.release()
    assert some.taken_bytes == 0


async def test_who_waits_goes_on_when_another_is_sent() -> None:
    some = room(100, wait_s=LATE_S)
    first = await large(some, 90)
    second = asyncio.create_task(some.share().take(FREE_BYTES + 60))
    assert await waits(second)
    first.release()
    await second
    assert some.taken_bytes == 60


async def test_who_gives_up_waiting_holds_nothing_and_is_given_nothing() -> None:
    some = room(100, wait_s=LATE_S)
    first = await large(some, 90)
    share = some.share()
    second = asyncio.create_task(share.take(FREE_BYTES + 60))
    assert await waits(second)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    share.release()
    first.release()
    assert some.taken_bytes == 0


async def test_what_turns_out_larger_than_it_came_counts_and_others_wait_for_it() -> None:
    some = room(100)
    share = await large(some, 50)
    share.hold(FREE_BYTES + 120)
    assert some.taken_bytes == 120
    share.hold(FREE_BYTES)
    assert some.taken_bytes == 120
    with pytest.raises(NoAnswerRoomError):
        await large(some, 1)


async def test_bytes_on_top_of_what_was_held_count() -> None:
    some = room(1000)
    share = await large(some, 50)
    share.hold(FREE_BYTES + 120)
    await share.take(10)
    assert some.taken_bytes == 130


async def test_the_oldest_can_always_go_on_to_its_end() -> None:
    """Ten answers that grow side by side to more than there is room for, all of which come to their end."""
    some = room(100, one_answer_bytes_max=60, wait_s=LATE_S)

    async def answer() -> None:
        share = await large(some, 1)
        for _ in range(59):
            await asyncio.sleep(0)
            await share.take(1)
        assert some.taken_bytes <= 100
        share.release()

    async with asyncio.timeout(LATE_S):
        await asyncio.gather(*(answer() for _ in range(10)))
    assert some.taken_bytes == 0
