"""What connections to the port have from the beginning."""

import asyncio
import socket
from typing import Any

from atoll.api.watch import while_connected
from atoll.operate.listening import UNTAKEN_S_MAX, listen
from tests.api.serving import serving

UNTAKEN_MS_MAX = 200


async def test_a_client_that_takes_nothing_of_its_answer_is_lost() -> None:
    ended = asyncio.Event()

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer without end."""
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return

        async def endless() -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
                await asyncio.sleep(0)

        try:
            await while_connected(receive, endless())
        finally:
            ended.set()

    listening = listen("127.0.0.1", 0)
    assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == UNTAKEN_S_MAX * 1000
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNTAKEN_MS_MAX)
    async with serving(app, sockets=[listening]) as address:
        with socket.create_connection((address.host, address.port)) as deaf:
            deaf.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            async with asyncio.timeout(60):
                await ended.wait()


def test_connections_have_the_kernel_ask_whether_their_client_is_there() -> None:
    with (
        listen("127.0.0.1", 0) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        found = [
            accepted.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        ]
        assert found == [60, 15, 4, 120_000]
