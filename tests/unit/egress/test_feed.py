"""The feed serves on a socket that was bound elsewhere, and leaves its path to whoever bound it."""

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from atoll.egress.feed import Feed
from atoll.runtime.oci.unix_address import short_address


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_socket_whose_name_leads_nowhere(tmp_path: Path, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    path = tmp_path / "feed.sock"
    listener = socket.socket(socket.AF_UNIX)
    with short_address(path) as address:
        listener.bind(address)
    # The descriptor that the name goes by is another file's from now on, as in the egress process.
    taken = [os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC) for _ in range(3)]

    async def serve_one() -> None:
        feed = Feed(frozenset({os.getuid()}))
        await feed.serve(listener, lambda: {"open": 3}, lambda: None)
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(b'{"count": 1}\n')
            assert await reader.readline() == b'{"counts": {"open": 3}, "id": 1}\n'
        writer.close()
        await writer.wait_closed()
        feed.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(serve_one())
    for descriptor in taken:
        os.close(descriptor)
    assert path.is_socket(), "the next start removes it"
