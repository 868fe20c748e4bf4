"""What a client of a WebSocket may make the server hold, and for how long."""

import asyncio
import socket
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from tests.api.serving import serving
from tests.harness.poll import wait_until


class App:
    """Accepts, then sends without end (``/flood``), or says what came."""

    def __init__(self) -> None:
        self.sent = 0
        self.has_ended = asyncio.Event()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        await receive()
        await send({"type": "websocket.accept"})
        try:
            if scope["path"] == "/flood":
                while True:
                    async with asyncio.timeout(1):
                        await send({"type": "websocket.send", "bytes": bytes(10_000)})
                    self.sent += 10_000
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": str(len(message.get("bytes") or message["text"]))})
        except TimeoutError:
            pass
        finally:
            self.has_ended.set()


async def upgraded(host: str, port: int, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect without a library, which would be too well-behaved."""
    sock = socket.create_connection((host, port))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
    writer.write(
        f"GET {path} HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        "sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    assert b" 101 " in await reader.readline()
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def test_a_client_that_does_not_read_is_sent_little_and_let_go() -> None:
    app = App()
    async with serving(app) as address:
        _, writer = await upgraded(address.host, address.port, "/flood")
        async with asyncio.timeout(20):
            await app.has_ended.wait()
            assert app.sent < 8_000_000
        connections = address.server.server_state.connections
        await asyncio.to_thread(wait_until, lambda: not connections, what="the end of the connection")
        writer.close()


async def test_pings_of_a_client_that_does_not_read_are_not_answered_without_end() -> None:
    async with serving(App()) as address:
        _, writer = await upgraded(address.host, address.port, "/")
        ping = Frame(Opcode.PING, bytes(125)).serialize(mask=True)
        sent = 0
        try:
            while sent < 200_000_000:
                writer.write(ping * 1000)
                async with asyncio.timeout(2):
                    await writer.drain()
                sent += len(ping) * 1000
        except TimeoutError:
            pass
        assert sent < 100_000_000, "what is not read is still taken"
        writer.transport.abort()


async def test_messages_up_to_the_limit() -> None:
    async with serving(App()) as address, connect(f"ws://{address.host}:{address.port}/", compression=None) as client:
        await client.send(bytes(64 * 1024))
        assert await client.recv() == "65536"
        await client.send(b"x" for _ in range(1000))
        assert await client.recv() == "1000"
        await client.send(bytes(64 * 1024 + 1))
        try:
            await client.recv()
        except ConnectionClosed:
            assert client.close_code == 1009
