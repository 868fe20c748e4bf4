"""The socket stream keeps the contract's promises on asyncio's loop and on uvloop's."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from atoll.runtime.contract import Stream
from atoll.runtime.stream import stream_from_socket

MEBIBYTE = 1 << 20

Scenario = Callable[[Stream, Stream], Awaitable[None]]


async def bytes_arrive_in_both_directions(left: Stream, right: Stream) -> None:
    await left.write(b"ping")
    assert await right.read(100) == b"ping"
    await right.write(b"pong")
    assert await left.read(2) == b"po"
    assert await left.read(2) == b"ng"


async def a_read_gives_nothing_when_the_other_side_hung_up(left: Stream, right: Stream) -> None:
    await right.aclose()
    assert await left.read(1) == b""
    assert await left.read(1) == b""


async def a_write_waits_for_the_reader_and_arrives_whole(left: Stream, right: Stream) -> None:
    payload = os.urandom(4 * MEBIBYTE)
    writing = asyncio.ensure_future(left.write(payload))
    received = bytearray()
    received += await right.read(1)
    assert not writing.done()
    while len(received) < len(payload):
        received += await right.read(64 * 1024)
    await writing
    assert bytes(received) == payload


async def a_write_to_a_closed_peer_is_a_connection_error(left: Stream, right: Stream) -> None:
    async def write_much() -> None:
        for _ in range(100):
            await left.write(b"x" * MEBIBYTE)

    await right.aclose()
    with pytest.raises(ConnectionError):
        await write_much()


async def hanging_up_wakes_a_waiting_writer_with_an_error(left: Stream, right: Stream) -> None:
    writing = asyncio.ensure_future(left.write(b"x" * (4 * MEBIBYTE)))
    await right.read(1)
    await asyncio.wait_for(left.aclose(), 5)
    with pytest.raises(ConnectionError):
        await writing


async def hanging_up_wakes_a_waiting_reader(left: Stream, right: Stream) -> None:
    reading = asyncio.ensure_future(left.read(1))
    await asyncio.sleep(0)
    await left.aclose()
    assert await asyncio.wait_for(reading, 5) == b""
    assert await right.read(1) == b""


async def hanging_up_does_not_wait_for_a_peer_that_does_not_read(left: Stream, _: Stream) -> None:
    writing = asyncio.ensure_future(left.write(b"x" * (4 * MEBIBYTE)))
    await asyncio.sleep(0)
    await asyncio.wait_for(left.aclose(), 5)
    with pytest.raises(ConnectionError):
        await writing


async def after_hanging_up_nothing_can_be_written(left: Stream, _: Stream) -> None:
    await left.aclose()
    await left.aclose()
    with pytest.raises(ConnectionError):
        await left.write(b"late")
    assert await left.read(1) == b""


async def what_was_said_before_hanging_up_can_be_read_after_a_failed_write(left: Stream, right: Stream) -> None:
    await left.write(b"x" * 1024)
    await right.write(b"no space")
    await right.aclose()
    with pytest.raises(ConnectionError):
        await left.write(b"x" * MEBIBYTE)
    assert await left.read(100) == b"no space"


async def a_cancelled_read_leaves_the_stream_usable(left: Stream, right: Stream) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(left.read(1), 0.001)
    await right.write(b"still here")
    assert await left.read(100) == b"still here"


async def it_is_quiet_until_something_comes(left: Stream, right: Stream) -> None:
    assert left.is_quiet()
    await right.write(b"ab")
    assert not left.is_quiet()
    assert await left.read(1) == b"a"
    assert not left.is_quiet()
    assert await left.read(1) == b"b"
    assert left.is_quiet()


async def it_is_not_quiet_once_either_side_hung_up(left: Stream, right: Stream) -> None:
    await right.aclose()
    assert not left.is_quiet()
    assert not right.is_quiet()


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize(
    "scenario",
    [
        bytes_arrive_in_both_directions,
        a_read_gives_nothing_when_the_other_side_hung_up,
        a_write_waits_for_the_reader_and_arrives_whole,
        a_write_to_a_closed_peer_is_a_connection_error,
        hanging_up_wakes_a_waiting_writer_with_an_error,
        hanging_up_wakes_a_waiting_reader,
        hanging_up_does_not_wait_for_a_peer_that_does_not_read,
        after_hanging_up_nothing_can_be_written,
        what_was_said_before_hanging_up_can_be_read_after_a_failed_write,
        a_cancelled_read_leaves_the_stream_usable,
        it_is_quiet_until_something_comes,
        it_is_not_quiet_once_either_side_hung_up,
    ],
)
def test_stream(scenario: Scenario, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def play() -> None:
        left, right = socket.socketpair()
        descriptors = left.fileno(), right.fileno()
        streams = await stream_from_socket(left), await stream_from_socket(right)
        try:
            await scenario(*streams)
        finally:
            for stream in streams:
                await stream.aclose()
        for descriptor in descriptors:
            assert not is_open(descriptor)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(play())


async def test_a_socket_that_cannot_be_used_is_closed() -> None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with pytest.raises((OSError, ValueError)):
        await stream_from_socket(sock)
    assert sock.fileno() == -1
