"""Many clients at once, in a process of their own so that they take nothing from whoever measures but their CPU time.

Terminals are looked at, streams of events read, or asked for and never read.
"""

import asyncio
import json
import multiprocessing
import socket
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect

READY_S_MAX = 300.0
_OPENING_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Who is there: for each a container's id. Readers in ``deaf`` ask for a stream and take nothing of it."""

    base_url: str
    api_key: str
    terminals: tuple[str, ...]
    readers: tuple[str, ...]
    deaf: tuple[str, ...]


@contextmanager
def gathered(crowd: Crowd) -> Iterator[Callable[[], int]]:
    """Have all of them connected while the body runs; gives what says how many events were read so far."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_be, args=(crowd, theirs), daemon=True)
    process.start()
    theirs.close()

    def ask() -> int:
        ours.send("count")
        return int(ours.recv())

    try:
        if not ours.poll(READY_S_MAX) or ours.recv() != "ready":
            raise RuntimeError("not all of them got through")
        yield ask
    finally:
        ours.close()
        process.join(30)
        process.kill()


def _be(crowd: Crowd, orders: Connection) -> None:
    asyncio.run(_gather(crowd, orders))


async def _gather(crowd: Crowd, orders: Connection) -> None:
    read = _Read()
    turns = asyncio.Semaphore(_OPENING_AT_ONCE)
    async with AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        sockets = [stack.enter_context(socket.socket()) for _ in crowd.deaf]
        opened = [
            *(_terminal(crowd, container_id, stack, turns) for container_id in crowd.terminals),
            *(_reader(crowd, container_id, read, group, turns) for container_id in crowd.readers),
            *(_deaf(crowd, container_id, sock) for container_id, sock in zip(crowd.deaf, sockets, strict=True)),
        ]
        tasks = await asyncio.gather(*opened)
        orders.send("ready")
        try:
            while await asyncio.to_thread(orders.recv):
                orders.send(read.events)
        except EOFError:
            for task in tasks:
                if task is not None:
                    task.cancel()


@dataclass(slots=True)
class _Read:
    events: int = 0


async def _terminal(crowd: Crowd, container_id: str, stack: AsyncExitStack, turns: asyncio.Semaphore) -> None:
    url = f"{crowd.base_url.replace('http', 'ws', 1)}/containers/{container_id}/terminal"
    headers = {"Authorization": f"Bearer {crowd.api_key}"}
    async with turns:
        terminal: ClientConnection = await stack.enter_async_context(
            connect(url, additional_headers=headers, proxy=None, compression=None, open_timeout=60)
        )
        if json.loads(await terminal.recv())["type"] != "attached":
            raise RuntimeError("the terminal could not be opened")
        await terminal.recv()  # its prompt


async def _reader(
    crowd: Crowd, container_id: str, read: _Read, group: asyncio.TaskGroup, turns: asyncio.Semaphore
) -> "asyncio.Task[None]":
    host, port = _address(crowd)
    async with turns:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(_request(crowd, container_id))
        if b" 200 " not in await reader.readline():
            raise RuntimeError("the stream was not begun")

    async def go_on() -> None:
        try:
            while data := await reader.read(65536):
                read.events += data.count(b"\nevent: ")
        finally:
            writer.close()

    return group.create_task(go_on())


async def _deaf(crowd: Crowd, container_id: str, sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, _address(crowd))
    await loop.sock_sendall(sock, _request(crowd, container_id))
    if b" 200 " not in await loop.sock_recv(sock, 64):
        raise RuntimeError("the stream was not begun")


def _address(crowd: Crowd) -> Any:
    parts = urlsplit(crowd.base_url)
    return parts.hostname, parts.port


def _request(crowd: Crowd, container_id: str) -> bytes:
    path = urlsplit(crowd.base_url).path
    return (
        f"GET {path}/containers/{container_id}/events HTTP/1.1\r\nhost: localhost\r\n"
        f"authorization: Bearer {crowd.api_key}\r\n\r\n"
    ).encode()
