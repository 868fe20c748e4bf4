"""Looking at what came without taking it."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from atoll.egress.readiness import GoneError, peek


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give two ends of a connection over TCP: what the kernel waits for is asked of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    other.setblocking(False)
    with one, other:
        yield one, other


async def test_what_comes_in_pieces_is_seen_together_and_stays(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    seen: list[bytes] = []
    more = asyncio.Event()

    def look(data: bytes) -> bytes | None:
        seen.append(data)
        more.set()
        return data if data.endswith(b".") else None

    looking = asyncio.ensure_future(peek(other, look, 100))
    for piece in (b"one", b" two", b" three."):
        more.clear()
        one.send(piece)
        async with asyncio.timeout(5):
            await more.wait()
    assert await looking == b"one two three."
    assert seen == [b"one", b"one two", b"one two three."]
    assert other.recv(100) == b"one two three."
    assert other.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1


@pytest.mark.parametrize("sent", [b"", b"something"])
async def test_an_end_before_enough_has_come(pair: tuple[socket.socket, socket.socket], sent: bytes) -> None:
    one, other = pair
    one.sendall(sent)
    one.shutdown(socket.SHUT_WR)
    async with asyncio.timeout(5):
        with pytest.raises(GoneError):
            await peek(other, lambda _: None, 100)


async def test_no_more_than_a_bound_is_looked_at(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    one.sendall(b"x" * 100)
    async with asyncio.timeout(5):
        with pytest.raises(GoneError):
            await peek(other, lambda data: data if len(data) > 100 else None, 100)
