"""Bytes through the relay: all of them, in order, both ways, however slow a side is; and what ends it."""

import asyncio
import fcntl
import hashlib
import os
import socket
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from atoll.egress.meter import Meter
from atoll.egress.relay import copy, relay

MIB = 1 << 20


@pytest.fixture
def pairs() -> Iterator[tuple[socket.socket, socket.socket, socket.socket, socket.socket]]:
    """Give client, our two ends in the middle, and server: over TCP, as splice needs it."""
    ends = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            one = socket.create_connection(listener.getsockname())
            other, _ = listener.accept()
        ends += [one, other]
    client, inside, outside, server = ends[0], ends[1], ends[2], ends[3]
    for sock in ends:
        sock.setblocking(False)
    yield client, inside, outside, server
    for sock in ends:
        sock.close()


def meter() -> Meter:
    return Meter(asyncio.get_running_loop().time, lambda _: None)


async def receive_all(sock: socket.socket, *, pause_at: int = -1) -> bytes:
    loop = asyncio.get_running_loop()
    data = bytearray()
    while piece := await loop.sock_recv(sock, 100_000):
        data += piece
        if 0 <= pause_at < len(data):
            pause_at = -1
            for _ in range(50):
                await asyncio.sleep(0)
    return bytes(data)


@pytest.mark.parametrize("size", [0, 1, 65_536, MIB, 5 * MIB + 7])
async def test_all_bytes_both_ways(
    pairs: tuple[socket.socket, socket.socket, socket.socket, socket.socket], size: int
) -> None:
    client, inside, outside, server = pairs
    loop = asyncio.get_running_loop()
    there, back = os.urandom(size), os.urandom(size // 2)
    counted = meter()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(relay(inside, outside, counted))

        async def talk(sock: socket.socket, data: bytes) -> None:
            await loop.sock_sendall(sock, data)
            sock.shutdown(socket.SHUT_WR)

        group.create_task(talk(client, there))
        group.create_task(talk(server, back))
        arrived = group.create_task(receive_all(server, pause_at=size // 3))
        returned = group.create_task(receive_all(client))
    assert hashlib.sha256(arrived.result()).digest() == hashlib.sha256(there).digest()
    assert returned.result() == back
    assert (counted.sent, counted.received) == (len(there), len(back))


async def test_a_side_that_has_said_all_still_hears(
    pairs: tuple[socket.socket, socket.socket, socket.socket, socket.socket],
) -> None:
    client, inside, outside, server = pairs
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(relay(inside, outside, meter()))
        client.send(b"question")
        client.shutdown(socket.SHUT_WR)
        assert await receive_all(server) == b"question"
        for _ in range(3):
            await loop.sock_sendall(server, b"answer")
            assert await loop.sock_recv(client, 100) == b"answer"
        server.shutdown(socket.SHUT_WR)
        assert await receive_all(client) == b""


async def test_a_side_that_does_not_read_stops_the_other(
    pairs: tuple[socket.socket, socket.socket, socket.socket, socket.socket],
) -> None:
    client, inside, outside, server = pairs
    for sock in pairs:
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, 256 * 1024)
    loop = asyncio.get_running_loop()
    counted = meter()
    data = os.urandom(16 * MIB)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(relay(inside, outside, counted))
        sending = group.create_task(loop.sock_sendall(server, data))
        got = bytearray()
        while len(got) < 4 * MIB:  # what goes through pipes by now
            got += await loop.sock_recv(client, MIB)
        moved = -1
        while moved != counted.received:  # until nothing moves while the loop has time for everything
            moved = counted.received
            for _ in range(2000):
                await asyncio.sleep(0)
        assert not sending.done()
        assert moved - len(got) <= 4 * MIB  # four buffers of the kernel, and a pipe
        receiving = group.create_task(receive_all(client))
        await sending
        server.shutdown(socket.SHUT_WR)
        client.shutdown(socket.SHUT_WR)
        assert hashlib.sha256(got + await receiving).digest() == hashlib.sha256(data).digest()


@pytest.mark.parametrize("call", [fcntl.F_SETPIPE_SZ, None])
async def test_without_pipes_of_use_bytes_are_copied(
    pairs: tuple[socket.socket, socket.socket, socket.socket, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
    call: int | None,
) -> None:
    client, inside, outside, server = pairs
    spliced: list[object] = []

    def pipe2(_: int) -> tuple[int, int]:
        if call is None:
            raise OSError("no descriptors")
        ends = os.pipe()
        fcntl.fcntl(ends[1], call, 8192)  # what a user is given who has many
        return ends

    def stay(descriptor: int, what: int, *_: int) -> int:
        if what == fcntl.F_SETPIPE_SZ:
            raise PermissionError("too many pages")
        return real(descriptor, what)

    real = fcntl.fcntl
    data = os.urandom(4 * MIB)
    with monkeypatch.context() as patch:
        patch.setattr("atoll.egress.relay.os.pipe2", pipe2)
        patch.setattr("atoll.egress.relay.os.splice", spliced.append)
        if call is not None:
            patch.setattr("atoll.egress.relay.fcntl", SimpleNamespace(**{**vars(fcntl), "fcntl": stay}))
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            group.create_task(relay(inside, outside, meter()))
            group.create_task(loop.sock_sendall(client, data)).add_done_callback(
                lambda _: client.shutdown(socket.SHUT_WR)
            )
            assert await receive_all(server) == data
            server.shutdown(socket.SHUT_WR)
    assert spliced == []


async def test_so_many_bytes_and_no_more(
    pairs: tuple[socket.socket, socket.socket, socket.socket, socket.socket],
) -> None:
    client, inside, outside, server = pairs
    data = os.urandom(3 * MIB)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        sending = group.create_task(loop.sock_sendall(client, data + b"what follows"))
        copied = group.create_task(copy(inside, outside, len(data), lambda _: None))

        async def receive() -> bytes:
            got = b""
            while len(got) < len(data):
                got += await loop.sock_recv(server, MIB)
            return got

        got = group.create_task(receive())
    await sending
    assert copied.result() == len(data)
    assert got.result() == data
    assert await loop.sock_recv(inside, 100) == b"what follows"


async def test_an_end_before_all_has_come(
    pairs: tuple[socket.socket, socket.socket, socket.socket, socket.socket],
) -> None:
    client, inside, outside, _ = pairs
    client.send(b"short")
    client.shutdown(socket.SHUT_WR)
    async with asyncio.timeout(5):
        assert await copy(inside, outside, 100, lambda _: None) == 5


async def test_what_the_meter_raises_ends_it(
    pairs: tuple[socket.socket, socket.socket, socket.socket, socket.socket],
) -> None:
    client, inside, outside, _ = pairs

    def spend(size: int) -> None:
        raise ValueError(size)

    client.send(b"x")
    async with asyncio.timeout(5):
        with pytest.raises(ValueError, match="1"):
            await relay(inside, outside, Meter(asyncio.get_running_loop().time, spend))


async def test_a_side_that_breaks_off_ends_it(
    pairs: tuple[socket.socket, socket.socket, socket.socket, socket.socket],
) -> None:
    client, inside, outside, _ = pairs
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    async with asyncio.timeout(5):
        with pytest.raises(ConnectionError):
            await relay(inside, outside, meter())
