"""Waiting for a socket, and looking at what came without taking it."""

import asyncio
import socket
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class GoneError(Exception):
    """The other side hung up before it had said enough."""


async def readable(sock: socket.socket) -> None:
    """Return when there is something to read, or the end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sock.fileno(), _settle, future)
    try:
        await future
    finally:
        loop.remove_reader(sock.fileno())


async def writable(sock: socket.socket) -> None:
    """Return when something can be written, or the connection that was begun has been made or has failed."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.add_writer(sock.fileno(), _settle, future)
    try:
        await future
    finally:
        loop.remove_writer(sock.fileno())


async def peek(sock: socket.socket, look: Callable[[bytes], T | None], bytes_max: int) -> T:
    """Show ``look`` what has come until it gives something; all of it stays there to be read.

    Raises ``GoneError``, ``OSError`` and what ``look`` raises.
    """
    seen = 0
    try:
        while True:
            try:
                data = sock.recv(bytes_max, socket.MSG_PEEK)
            except BlockingIOError:
                await readable(sock)
                continue
            found = look(data)
            if found is not None:
                return found
            if len(data) <= seen or len(data) >= bytes_max:
                raise GoneError
            # The kernel wakes us for more than was seen, or for the end.
            seen = len(data)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, seen + 1)
            await readable(sock)
    finally:
        if seen:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


def _settle(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
