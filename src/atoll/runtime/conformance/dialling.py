"""Checks of the streams to an agent."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing

from atoll.agent.errors import AgentRefusedError
from atoll.guest.protocol import FrameType, encode_json
from atoll.model.calls import CommandOutput
from atoll.runtime.conformance.bench import Bench, eventually, require, require_error
from atoll.runtime.conformance.host_processes import find_marked

_MEBIBYTE = 1 << 20


async def many_streams_are_open_at_once(bench: Bench) -> None:
    """Connections made at the same time, while a call runs, each get their own answers."""
    sandbox = await bench.create()
    agent = bench.agent(sandbox.id)
    async with aclosing(agent.shell(["echo started; sleep 1000"], 60_000, 1000)) as call:
        require(await anext(call) == CommandOutput(0, "started\n", ""), "the call runs")
        await asyncio.gather(*(agent.hello() for _ in range(20)))
        streams = await asyncio.gather(*(bench.runtime.dial(sandbox.id) for _ in range(10)))
        await streams[0].aclose()
        await streams[1].write(encode_json(FrameType.REQUEST, {"op": "hello"}))
        require(await streams[1].read(1000), "closing one stream leaves the others")
        for stream in streams:
            await stream.aclose()
            await stream.aclose()


async def a_closed_stream_is_of_no_use(bench: Bench) -> None:
    """After ``aclose`` nothing can be written, and nothing more is read."""
    sandbox = await bench.create()
    stream = await bench.runtime.dial(sandbox.id)
    await stream.aclose()
    await require_error(ConnectionError, stream.write(b"x"), "write after aclose")
    require(await stream.read(1) == b"", "read after aclose gives the end")


async def a_stream_that_ended_is_not_quiet(bench: Bench) -> None:
    """``is_quiet`` tells a stream that can be used again from one whose sandbox was stopped."""
    sandbox = await bench.create()
    stream = await bench.runtime.dial(sandbox.id)
    require(stream.is_quiet(), "a new stream is quiet")
    await bench.runtime.stop(sandbox.id)
    require(not stream.is_quiet(), "a stream to a stopped sandbox is not quiet")
    await stream.aclose()


async def hanging_up_cancels_the_call(bench: Bench) -> None:
    """Closing the stream of a call ends its command, and the next call gets its turn."""
    sandbox = await bench.create()
    mark = f"conformance-hang-up-{sandbox.id}"
    async with aclosing(bench.agent(sandbox.id).shell([f"echo on; exec -a {mark} sleep 1000"], 60_000, 1000)) as call:
        await anext(call)

    async def ended() -> bool:
        return not find_marked(mark)

    await eventually(ended, "the command of a call that was hung up on is ended")
    require(await bench.shell(sandbox.id, "echo next") == (0, "next\n"), "the next call runs")


async def much_data_goes_both_ways(bench: Bench) -> None:
    """Files larger than any buffer arrive whole, and slow reading holds the sender up, not the memory."""
    sandbox = await bench.create()
    agent = bench.agent(sandbox.id)
    content = os.urandom(8 * _MEBIBYTE)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(content), _MEBIBYTE):
            yield content[start : start + _MEBIBYTE]

    file = await agent.put_file("/mnt/data/much.bin", chunks(), exclusive=True)
    require(file.size == len(content), "the agent tells the size that was sent")
    received = await agent.get_file("/mnt/data/much.bin")
    require(b"".join([chunk async for chunk in received.chunks]) == content, "what comes out is what went in")


async def archives_go_both_ways(bench: Bench) -> None:
    """A folder packed in one sandbox is the same when it is unpacked in another; what is no tar changes nothing."""
    one, other = await bench.create(), await bench.create()
    script = "mkdir -p d/empty; head -c 3000000 /dev/urandom > d/much; ln -s much d/link; sha256sum d/much"
    _, digest = await bench.shell(one.id, script)
    packed = await bench.agent(one.id).get_archive("/mnt/data/d", 100)
    unpacked = await bench.agent(other.id).put_archive("/mnt/data/d", 100, packed)
    require((unpacked.files, unpacked.folders, unpacked.links) == (1, 1, 1), "everything is counted")
    look = "sha256sum d/link | sed s/link/much/; ls d"
    same = (0, f"{digest}empty\nlink\nmuch\n")
    require(await bench.shell(other.id, look) == same, "what comes out is what went in")

    async def no_tar() -> AsyncIterator[bytes]:
        yield b"no tar" * 1000

    await require_error(AgentRefusedError, bench.agent(other.id).put_archive("/mnt/data", 100, no_tar()), "no tar")
    require(await bench.shell(other.id, "ls -A") == (0, "d\n"), "nothing is left of what was refused")
