"""Requests through the HTTP relay: where each ends, what is let on, and what goes back."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import h11
import pytest

from atoll.egress.http_relay import HEAD_LINES_MAX, HttpRelay
from atoll.egress.meter import Meter
from atoll.egress.refusal import RefusedError
from atoll.egress.wires import SocketWire, Wire
from atoll.model.egress_decision import EgressReason

NAME = "api.example.com"
LARGE = 300_000


class Line:
    """A program inside, the relay, and a server outside whose words the test says."""

    def __init__(self, turn: asyncio.Lock | None = None, on_head: Callable[[], None] = lambda: None) -> None:
        self._on_head = on_head
        self.program, inside = _pair()
        self.server, outside = _pair()
        self._outside = outside
        self.dialled = 0
        loop = asyncio.get_running_loop()
        self.relay = HttpRelay(
            SocketWire(inside),
            name=NAME,
            port=80,
            dial=self._dial,
            meter=Meter(loop.time, lambda _: None),
            turn=turn or asyncio.Lock(),
            head_s_max=10,
            change=self._changed,
        )
        self._inside = inside
        self.running = loop.create_task(self._run())

    def _changed(self, request: h11.Request) -> h11.Request:
        self._on_head()
        return request

    async def _run(self) -> None:
        try:
            await self.relay.run()
        finally:
            self._inside.close()
            self._outside.close()

    async def _dial(self) -> Wire:
        self.dialled += 1
        return SocketWire(self._outside)

    async def ask(self, request: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.program, request)

    async def reply(self, answer: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.server, answer)

    async def ended(self) -> None:
        async with asyncio.timeout(10):
            await self.running

    async def close(self) -> None:
        self.running.cancel()
        with suppress(asyncio.CancelledError, RefusedError, OSError):
            await self.running
        self.program.close()
        self.server.close()


def _pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    one.setblocking(False)
    other.setblocking(False)
    return one, other


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    made = Line()
    yield made
    await made.close()


async def read(sock: socket.socket, until: Callable[[bytes], bool]) -> bytes:
    data = b""
    async with asyncio.timeout(10):
        while not until(data):
            piece = await asyncio.get_running_loop().sock_recv(sock, 65_536)
            assert piece, f"it hung up after {data[-200:]!r}"
            data += piece
    return data


async def read_answer(sock: socket.socket, body_bytes: int) -> bytes:
    """Give the body of an answer."""
    data = await read(sock, lambda data: len(data.partition(b"\r\n\r\n")[2]) >= body_bytes and b"\r\n\r\n" in data)
    return data.partition(b"\r\n\r\n")[2]


def a_head(data: bytes) -> bool:
    return data.endswith(b"\r\n\r\n")


def request(method: bytes = b"GET", host: str = NAME, headers: bytes = b"") -> bytes:
    return method + b" / HTTP/1.1\r\nHost: " + host.encode() + b"\r\n" + headers + b"\r\n"


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 999999999\r\n\r\n"),
        (b"DELETE", b"HTTP/1.1 204 No Content\r\n\r\n"),
    ],
)
async def test_an_answer_without_its_body(line: Line, method: bytes, answer: bytes) -> None:
    for _ in range(2):
        await line.ask(request(method))
        assert (await read(line.server, a_head)).startswith(method)
        await line.reply(answer)
        assert (await read(line.program, a_head)).splitlines()[0] == answer.splitlines()[0]
    assert line.dialled == 1


async def test_large_and_small_bodies_take_turns_on_one_connection(line: Line) -> None:
    for size in (LARGE, 3, LARGE + 1, 0):
        await line.ask(request())
        await read(line.server, a_head)
        body = bytes(range(256)) * (size // 256 + 1)
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
        sending = asyncio.ensure_future(line.reply(head + body[:size]))
        assert await read_answer(line.program, size) == body[:size]
        await sending
    assert line.dialled == 1


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (request(host="other.example.com"), EgressReason.OTHER_NAME),
        (request(host=f"{NAME}:81"), EgressReason.OTHER_NAME),
        (request(headers=f"Host: {NAME}\r\n".encode()), EgressReason.NOT_HTTP),
        (f"GET http://other.example.com/ HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode(), EgressReason.OTHER_NAME),
        (f"CONNECT {NAME}:80 HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode(), EgressReason.NOT_HTTP),
        (b"GET / HTTP/1.0\r\n\r\n", EgressReason.NO_NAME),
        (request(b"POST", headers=b"Content-Length: 1\r\nContent-Length: 2\r\n"), EgressReason.NOT_HTTP),
        (request(b"POST", headers=b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"), EgressReason.NOT_HTTP),
        (request(b"POST", headers=b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"), EgressReason.NOT_HTTP),
        (f"POST / HTTP/1.0\r\nHost: {NAME}\r\nTransfer-Encoding: chunked\r\n\r\n".encode(), EgressReason.NOT_HTTP),
        (f"GET / HTTP/2.0\r\nHost: {NAME}\r\n\r\n".encode(), EgressReason.NOT_HTTP),
        (request(b"TRACE"), EgressReason.NOT_HTTP),
        (request(headers=b"x:\r\n" * HEAD_LINES_MAX), EgressReason.NOT_HTTP),
        (request(headers=b"x:\n" * HEAD_LINES_MAX)[:-2] + b"\n", EgressReason.NOT_HTTP),
        (request(headers=b"X: " + b"x" * 200_000 + b"\r\n"), EgressReason.NOT_HTTP),
        (b"\x16\x03\x01 not http at all\r\n\r\n", EgressReason.NOT_HTTP),
    ],
)
async def test_what_is_not_for_this_name_goes_nowhere(line: Line, asked: bytes, reason: EgressReason) -> None:
    await line.ask(asked)
    with pytest.raises(RefusedError) as refused:
        await line.ended()
    assert refused.value.reason == reason
    assert line.dialled == 0


async def test_a_later_request_for_another_name(line: Line) -> None:
    await line.ask(request() + request(host="other.example.com"))
    assert (await read(line.server, a_head)).count(b"GET") == 1
    await line.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert (await read(line.program, lambda data: data.endswith(b"ok"))).count(b"HTTP/1.1") == 1
    with pytest.raises(RefusedError) as refused:
        await line.ended()
    assert refused.value.reason == EgressReason.OTHER_NAME


async def test_a_request_hidden_in_a_body_stays_in_it(line: Line) -> None:
    hidden = request(host="other.example.com")
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(hidden), hidden)
    await line.ask(request(b"POST", headers=b"Transfer-Encoding: chunked\r\n") + chunk)
    seen = await read(line.server, lambda data: data.endswith(b"0\r\n\r\n"))
    head, _, body = seen.partition(b"\r\n\r\n")
    assert b"chunked" in head.lower()
    assert b"content-length" not in head.lower()
    assert hidden in body


async def test_an_upgrade_to_anything_but_a_websocket_is_not_passed_on(line: Line) -> None:
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
    await line.ask(request(headers=offer))
    seen = (await read(line.server, a_head)).lower()
    assert b"upgrade" not in seen
    assert b"http2-settings" not in seen


async def test_an_answer_before_the_request_was_all_there(line: Line) -> None:
    await line.ask(request(b"POST", headers=b"Content-Length: 1000000\r\n") + b"begun")
    await read(line.server, lambda data: data.endswith(b"begun"))
    await line.reply(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
    assert (await read(line.program, lambda data: data.endswith(b"no"))).startswith(b"HTTP/1.1 413")
    await line.ended()


async def test_who_asks_in_an_older_version_is_answered_so(line: Line) -> None:
    offer = "Connection: Upgrade\r\nUpgrade: websocket"
    await line.ask(f"GET / HTTP/1.0\r\nHost: {NAME}\r\n{offer}\r\n\r\n".encode())
    seen = await read(line.server, a_head)
    assert seen.startswith(b"GET / HTTP/1.1\r\n")
    assert b"upgrade" not in seen.lower()
    await line.reply(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    await line.reply(b"2\r\nok\r\n0\r\n\r\n")
    answer = await read(line.program, lambda data: data.endswith(b"ok"))
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"chunked" not in answer.lower()
    await line.ended()


async def test_connections_of_one_sandbox_take_turns() -> None:
    rounds = 0
    read_in: list[int] = []

    async def count_rounds() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    turn = asyncio.Lock()
    lines = [Line(turn, lambda: read_in.append(rounds)) for _ in range(8)]
    counting = asyncio.create_task(count_rounds())
    for line in lines:
        await line.ask(request())
    for line in lines:
        await read(line.server, a_head)
    counting.cancel()
    # Nobody else waits for more than one of them.
    assert len(set(read_in)) == len(read_in) == len(lines)
    for line in lines:
        await line.close()


async def test_as_many_headers_as_may_be_and_as_many_lines_in_a_body_as_there_are(line: Line) -> None:
    body = b"\n" * 2 * HEAD_LINES_MAX
    headers = b"x:\r\n" * (HEAD_LINES_MAX - 4) + f"Content-Length: {len(body)}\r\n".encode()
    await line.ask(request(b"POST", headers=headers) + body)
    assert (await read(line.server, lambda data: data.endswith(body))).count(b"x:") == HEAD_LINES_MAX - 4
    await line.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + b"\n\n")
    assert await read_answer(line.program, 2) == b"\n\n"
