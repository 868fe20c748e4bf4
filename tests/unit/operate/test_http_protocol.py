"""What a stranger may send before a request's head has ended."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from atoll.api.errors import ClientGoneError
from atoll.api.watch import while_connected
from atoll.operate.http_protocol import HEAD_BYTES_MAX, BoundedHttpProtocol
from tests.api.serving import serving

# The largest read of a socket that either event loop does, which the bound does not divide.
READ_BYTES_MAX = 256 * 1024


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer with the number of headers, once the body is there."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(0.5)
    while scope["path"] != "/early" and (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def connected(
    protocol: type[BoundedHttpProtocol] = BoundedHttpProtocol,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with serving(app, http=protocol) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        try:
            yield reader, writer
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def send_until_refused(writer: asyncio.StreamWriter, piece: bytes, bytes_max: int) -> int:
    """Send ``piece`` again and again until the server hangs up; give how much it has let in."""
    sent = 0
    try:
        while sent < bytes_max:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
            await asyncio.sleep(0)
    except ConnectionError:
        pass
    return sent


@pytest.mark.parametrize("piece", [b"a" * 16384, b"a: b\r\n" * 2700])
@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nx: y\r\nx", b"GET /"])
async def test_a_head_without_end_is_cut_off(start: bytes, piece: bytes) -> None:
    async with connected() as (_, writer):
        writer.write(start)
        # The socket's own buffers on both sides take some more before the end of it shows.
        assert await send_until_refused(writer, piece, 64 << 20) < 32 << 20


async def test_the_refusal_can_be_read() -> None:
    began = asyncio.Event()

    class Watched(BoundedHttpProtocol):
        def on_message_begin(self) -> None:
            super().on_message_begin()
            began.set()

    async with connected(Watched) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nx: ")
        await began.wait()
        writer.write(b"a" * (HEAD_BYTES_MAX + 1))
        answer = await asyncio.wait_for(reader.read(), 10)
        assert answer.startswith(b"HTTP/1.1 431 ")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"content-length: %d" % len(body) in head


@pytest.mark.parametrize("path", [b"/", b"/early"])
@pytest.mark.parametrize("endless", [b"a: b\r\n" * 2700, b"1;" + b"x" * 16384])
async def test_what_frames_a_body_is_bounded_too(path: bytes, endless: bytes) -> None:
    start = b"0\r\n" if endless.startswith(b"a") else b""
    async with connected() as (_, writer):
        writer.write(b"POST " + path + b" HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + start + endless)
        piece = endless if start else b"x" * 16384
        assert await send_until_refused(writer, piece, 64 << 20) < 32 << 20


async def test_heads_within_the_bound_and_bodies_of_any_size_pass() -> None:
    body = b"x" * (4 * READ_BYTES_MAX)
    async with connected() as (reader, writer):
        for _ in range(3):
            filler = b"a" * (HEAD_BYTES_MAX - 200)
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\nx: %b\r\n\r\n" % (len(body), filler))
            writer.write(body)
            assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"ok"), 10)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(b"1\r\nx\r\n" * (HEAD_BYTES_MAX // 2) + b"0\r\n\r\n")
        assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"ok"), 10)


class Hurried(BoundedHttpProtocol):
    """As patient as a test."""

    head_s_max = 0.1


@pytest.mark.parametrize("start", [b"", b"G", b"GET / HTTP/1.1\r\nx: y\r\n"])
async def test_a_head_that_does_not_come_is_not_waited_for(start: bytes) -> None:
    async with connected(Hurried) as (reader, writer):
        writer.write(start)
        assert await asyncio.wait_for(reader.read(), 10) == b""


async def test_an_answer_under_way_is_not_cut_off_for_the_next_head() -> None:
    async with connected(Hurried) as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\nGET /")
        assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"ok"), 10)
        assert await asyncio.wait_for(reader.read(), 10) == b""


@pytest.mark.parametrize("looks", [1, 5])
async def test_an_answer_waits_for_its_client_while_some_of_it_is_taken(looks: int) -> None:
    ended = asyncio.Event()

    async def endless(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return

        async def answer() -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"x" * READ_BYTES_MAX, "more_body": True})

        try:
            await while_connected(receive, answer())
        except ClientGoneError:
            ended.set()

    seen = 0

    class Watched(BoundedHttpProtocol):
        taking_s_max = 0.05

        def pause_writing(self) -> None:
            nonlocal seen
            seen = 0
            super().pause_writing()

        def _untaken(self) -> int:
            """Tell that a byte was taken, at all looks but the last; nobody can be made to read so exactly."""
            nonlocal seen
            seen += 1
            return super()._untaken() + max(0, looks - seen)

    async with serving(endless, http=Watched) as address:
        with socket.create_connection((address.host, address.port)) as deaf:
            deaf.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            async with asyncio.timeout(60):
                await ended.wait()
    assert seen > looks
