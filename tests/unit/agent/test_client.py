"""The client against an agent that follows a script, and mostly not the protocol."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from atoll.agent.client import AgentClient
from atoll.agent.errors import AgentError, AgentGoneError, AgentMisbehavedError, AgentOverdueError, AgentRefusedError
from atoll.agent.files import AgentFile, FileListing
from atoll.agent.outcome import OutcomeType
from atoll.agent.patience import Patience
from atoll.agent.python import AgentPythonEnded
from atoll.agent.shell import AgentCommandEnded, AgentShellEnded
from atoll.guest.protocol import DATA_BYTES_MAX, TEXT_BYTES_MAX, FrameDecoder, FrameType, encode, encode_json
from atoll.model.calls import CommandOutput, Logs
from atoll.runtime.contract import SandboxNotRunningError, Stream
from atoll.runtime.stream import stream_from_socket

SOON = Patience(answer_s=0.05, call_grace_s=0.05, idle_s=0.05, settle_s=0.05)
FILE = {"path": "/mnt/data/a", "size": 3, "mtime_ns": 4}
PYTHON_OK = {"outcome": {"type": "ok"}, "omitted_bytes": 0, "images_omitted": 0, "files": []}


def result(value: dict[str, Any]) -> bytes:
    return encode_json(FrameType.RESULT, value)


def event(value: dict[str, Any]) -> bytes:
    return encode_json(FrameType.EVENT, value)


def failure(code: str, message: str = "no") -> bytes:
    return encode(FrameType.FAILURE, json.dumps({"code": code, "message": message}).encode())


class ScriptedAgent:
    """The agent's end of one connection."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._frames = self._read()

    async def frame(self) -> tuple[FrameType, bytes]:
        return await anext(self._frames)

    async def request(self) -> dict[str, Any]:
        frame_type, payload = await self.frame()
        assert frame_type is FrameType.REQUEST
        value: dict[str, Any] = json.loads(payload)
        return value

    async def say(self, *frames: bytes) -> None:
        await self.stream.write(b"".join(frames))

    async def hung_up_on(self) -> None:
        """Wait for the host to hang up."""
        with contextlib.suppress(ConnectionError):
            while await self.stream.read(65536):
                pass

    async def _read(self) -> AsyncGenerator[tuple[FrameType, bytes], None]:
        decoder = FrameDecoder()
        while data := await self.stream.read(65536):
            for frame in decoder.feed(data):
                yield frame


Script = Callable[[ScriptedAgent], Awaitable[None]]


class Stage:
    """Plays a script on every connection that a client makes, and sees that each is hung up in the end."""

    def __init__(self) -> None:
        self._plays: list[asyncio.Task[None]] = []

    def client(self, script: Script, patience: Patience | None = None, keep: list[Stream] | None = None) -> AgentClient:
        async def dial() -> Stream:
            host_end, agent_end = socket.socketpair()
            agent = ScriptedAgent(await stream_from_socket(agent_end))
            self._plays.append(asyncio.ensure_future(self._play(script, agent)))
            return await stream_from_socket(host_end)

        async def put(stream: Stream) -> None:
            if keep is not None:
                keep.append(stream)

        return AgentClient(dial, keep=None if keep is None else put, patience=patience)

    async def close(self) -> None:
        await asyncio.wait_for(asyncio.gather(*self._plays), 5)

    async def _play(self, script: Script, agent: ScriptedAgent) -> None:
        try:
            await script(agent)
            await agent.hung_up_on()
        finally:
            await agent.stream.aclose()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    yield stage
    await stage.close()


def says(*frames: bytes) -> Script:
    async def script(agent: ScriptedAgent) -> None:
        await agent.request()
        await agent.say(*frames)

    return script


def hangs_up_after(*frames: bytes) -> Script:
    async def script(agent: ScriptedAgent) -> None:
        await agent.request()
        await agent.say(*frames)
        await agent.stream.aclose()

    return script


async def all_of(events: AsyncIterator[Any]) -> list[Any]:
    return [event async for event in events]


async def chunks_of(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


Operation = Callable[[AgentClient], Awaitable[object]]
OPERATIONS: dict[str, Operation] = {
    "hello": lambda client: client.hello(),
    "python": lambda client: all_of(client.python("1", 0, 100)),
    "shell": lambda client: all_of(client.shell(["true"], 0, 100)),
    "interrupt": lambda client: client.interrupt(),
    "restart": lambda client: client.restart(),
    "files_list": lambda client: client.list_files(10),
    "file_put": lambda client: client.put_file("/mnt/data/a", chunks_of(b"abc"), exclusive=False),
    "file_get": lambda client: client.get_file("/mnt/data/a"),
    "file_delete": lambda client: client.delete_file("/mnt/data/a"),
}


@pytest.fixture(params=OPERATIONS)
def operation(request: pytest.FixtureRequest) -> Operation:
    return OPERATIONS[request.param]


class TestEveryOperation:
    async def test_an_agent_that_dies_is_gone(self, stage: Stage, operation: Operation) -> None:
        with pytest.raises(AgentGoneError):
            await operation(stage.client(hangs_up_after()))

    async def test_an_agent_that_dies_in_the_middle_of_a_frame_is_gone(
        self, stage: Stage, operation: Operation
    ) -> None:
        with pytest.raises(AgentGoneError):
            await operation(stage.client(hangs_up_after(result(PYTHON_OK)[:-3])))

    async def test_a_silent_agent_is_overdue(self, stage: Stage, operation: Operation) -> None:
        with pytest.raises(AgentOverdueError):
            await operation(stage.client(says(), SOON))

    async def test_an_agent_that_stops_in_the_middle_of_a_frame_is_overdue(
        self, stage: Stage, operation: Operation
    ) -> None:
        with pytest.raises(AgentOverdueError):
            await operation(stage.client(says(result(PYTHON_OK)[:-3]), SOON))

    async def test_a_refusal_is_passed_on(self, stage: Stage, operation: Operation) -> None:
        with pytest.raises(AgentRefusedError) as caught:
            await operation(stage.client(hangs_up_after(failure("permission", "not\nso \ud83d"))))
        assert caught.value.code == "permission"
        assert caught.value.message.isprintable()

    @pytest.mark.parametrize(
        "frames",
        [
            b"\xff\x00\x00\x00\x00",
            b"\x14\xff\xff\xff\xff",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            encode(FrameType.RESULT, b""),
            encode(FrameType.RESULT, b"{"),
            encode(FrameType.RESULT, b"[]"),
            encode(FrameType.RESULT, b"\xff\xff"),
            encode(FrameType.RESULT, b"[" * 100_000),
            encode(FrameType.RESULT, b'{"a":' + b"9" * 10_000 + b"}"),
            encode(FrameType.FAILURE, b""),
            failure("because"),
            encode_json(FrameType.FAILURE, {"code": "busy"}),
            encode_json(FrameType.FAILURE, {"code": ["busy"], "message": "x"}),
            encode(FrameType.REQUEST, b"{}"),
            encode(FrameType.END),
            failure("busy") + failure("busy"),
            failure("busy") + b"\x14",
        ],
        ids=lambda frames: repr(frames[:30]),
    )
    async def test_nonsense_is_misbehaviour(self, stage: Stage, operation: Operation, frames: bytes) -> None:
        with pytest.raises(AgentMisbehavedError):
            await operation(stage.client(says(frames)))

    async def test_what_dialling_raises_comes_out(self, operation: Operation) -> None:
        async def dial() -> Stream:
            raise SandboxNotRunningError("no")

        with pytest.raises(SandboxNotRunningError):
            await operation(AgentClient(dial))

    async def test_cancelling_hangs_up(self, stage: Stage, operation: Operation) -> None:
        reached = asyncio.Event()

        async def script(agent: ScriptedAgent) -> None:
            await agent.request()
            reached.set()

        task = asyncio.ensure_future(operation(stage.client(script)))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


GOOD_RESULTS: dict[str, dict[str, Any]] = {
    "hello": {"protocol": 1},
    "python": PYTHON_OK,
    "interrupt": {"interrupted": True},
    "restart": {},
    "files_list": {"complete": True},
    "file_delete": {"deleted": True},
}


@pytest.mark.parametrize("name", GOOD_RESULTS)
async def test_nothing_may_follow_the_final_frame(stage: Stage, name: str) -> None:
    final = result(GOOD_RESULTS[name])
    await OPERATIONS[name](stage.client(says(final)))
    for more in (final, encode(FrameType.STDOUT, b""), b"\x14", failure("busy")):
        with pytest.raises(AgentMisbehavedError):
            await OPERATIONS[name](stage.client(says(final + more)))


class TestQuestions:
    @pytest.mark.parametrize("answer", [{}, {"protocol": 2}, {"protocol": True}, {"protocol": "1"}])
    async def test_hello_needs_the_same_protocol(self, stage: Stage, answer: dict[str, Any]) -> None:
        with pytest.raises(AgentMisbehavedError):
            await stage.client(says(result(answer))).hello()

    async def test_interrupt_tells_whether_something_ran(self, stage: Stage) -> None:
        assert await stage.client(says(result({"interrupted": True}))).interrupt()
        assert not await stage.client(says(result({"interrupted": False}))).interrupt()
        with pytest.raises(AgentMisbehavedError):
            await stage.client(says(result({"interrupted": 1}))).interrupt()

    async def test_delete_tells_whether_it_was_there(self, stage: Stage) -> None:
        assert not await stage.client(says(result({"deleted": False}))).delete_file("/mnt/data/a")
        with pytest.raises(AgentMisbehavedError):
            await stage.client(says(result({"deleted": None}))).delete_file("/mnt/data/a")

    @pytest.mark.parametrize("path", ["a", "/mnt/data", "/mnt/data/../x", "/mnt/data/a\0"])
    async def test_impossible_paths_are_our_own_mistake(self, stage: Stage, path: str) -> None:
        client = stage.client(says())
        with pytest.raises(ValueError, match="not the path"):
            await client.delete_file(path)
        with pytest.raises(ValueError, match="not the path"):
            await client.get_file(path)
        with pytest.raises(ValueError, match="not the path"):
            await client.put_file(path, chunks_of(), exclusive=False)


class TestCalls:
    async def test_the_request_holds_what_was_asked_for(self, stage: Stage) -> None:
        requests = []

        async def script(agent: ScriptedAgent) -> None:
            requests.append(await agent.request())
            await agent.say(result(PYTHON_OK))

        await all_of(stage.client(script).python("print('é')\0", 5000, 100, images_max=7))
        assert requests == [
            {"op": "python", "code": "print('é')\0", "timeout_ms": 5000, "output_bytes_max": 100, "images_max": 7}
        ]

    async def test_output_comes_while_the_call_runs(self, stage: Stage) -> None:
        seen = asyncio.Event()

        async def script(agent: ScriptedAgent) -> None:
            await agent.request()
            await agent.say(encode(FrameType.STDOUT, b"first"))
            await seen.wait()
            await agent.say(encode(FrameType.STDOUT, b"second"), result(PYTHON_OK))

        events = stage.client(script).python("1", 5000, 100)
        assert await anext(events) == Logs("first")
        seen.set()
        second, ended = await all_of(events)
        assert second == Logs("second")
        assert isinstance(ended, AgentPythonEnded)

    async def test_frames_cut_anywhere_are_put_together(self, stage: Stage) -> None:
        async def script(agent: ScriptedAgent) -> None:
            await agent.request()
            for byte in encode(FrameType.STDOUT, "🐢".encode()) + result(PYTHON_OK):
                await agent.say(bytes([byte]))

        events = await all_of(stage.client(script).python("1", 5000, 100))
        assert events[0] == Logs("🐢")

    async def test_closing_the_events_hangs_up(self, stage: Stage) -> None:
        events = stage.client(says(encode(FrameType.STDOUT, b"x"))).python("1", 5000, 100)
        await anext(events)
        await events.aclose()  # the stage waits for the hang-up

    async def test_an_agent_that_trickles_is_overdue_all_the_same(self, stage: Stage) -> None:
        async def script(agent: ScriptedAgent) -> None:
            await agent.request()
            with contextlib.suppress(ConnectionError):
                while True:
                    await agent.say(encode(FrameType.STDOUT, b"x"))

        with pytest.raises(AgentOverdueError):
            await all_of(stage.client(script, SOON).python("1", 0, 2**40))

    async def test_the_time_of_a_slow_reader_is_not_the_agent_s(self, stage: Stage) -> None:
        release = asyncio.Event()

        async def script(agent: ScriptedAgent) -> None:
            await agent.request()
            await agent.say(encode(FrameType.STDOUT, b"x"))
            await release.wait()
            await agent.say(result(PYTHON_OK))

        events = stage.client(script, SOON).python("1", 0, 100)
        await anext(events)
        await asyncio.sleep(2 * SOON.call_grace_s)  # the reader's own slowness is what is tested
        release.set()
        assert isinstance(await anext(events), AgentPythonEnded)
        await events.aclose()

    async def test_the_time_until_there_is_room_is_not_the_agent_s(self, stage: Stage) -> None:
        asked = []

        async def make_room(size: int) -> None:
            asked.append(size)
            await asyncio.sleep(2 * SOON.call_grace_s)  # as above

        frames = encode(FrameType.STDOUT, b"x"), result(PYTHON_OK)
        events = stage.client(says(*frames), SOON).python("1", 0, 100, make_room=make_room)
        assert isinstance((await all_of(events))[-1], AgentPythonEnded)
        assert sum(asked) == sum(map(len, frames))

    async def test_no_room_hangs_up(self, stage: Stage) -> None:
        async def make_room(_: int) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):  # and the stage waits for the hang-up
            await all_of(stage.client(says(encode(FrameType.STDOUT, b"x"))).python("1", 5000, 100, make_room=make_room))

    async def test_a_flood_is_misbehaviour(self, stage: Stage) -> None:
        async def script(agent: ScriptedAgent) -> None:
            await agent.request()
            with contextlib.suppress(ConnectionError):
                while True:
                    await agent.say(encode(FrameType.STDOUT, b"x" * TEXT_BYTES_MAX))

        received = []

        async def receive() -> None:
            async for logs in stage.client(script).python("1", 5000, 1_000_000):
                assert isinstance(logs, Logs)
                received.append(len(logs.text))

        with pytest.raises(AgentMisbehavedError):
            await receive()
        assert sum(received) <= 1_000_000 + 64 * 1024

    async def test_shell_gives_each_command_its_end(self, stage: Stage) -> None:
        client = stage.client(
            says(
                encode(FrameType.STDOUT, b"a"),
                event({"event": "command_ended", "index": 0, "exit_code": 0}),
                result({"outcome": {"type": "timeout"}, "files": [FILE]}),
            )
        )
        events = await all_of(client.shell(["echo a", "sleep 9"], 5000, 100))
        assert events[:-1] == [CommandOutput(0, "a", ""), AgentCommandEnded(0, 0), AgentCommandEnded(1, None)]
        assert isinstance(events[-1], AgentShellEnded)
        assert events[-1].outcome.type is OutcomeType.TIMEOUT
        assert events[-1].files == (AgentFile("/mnt/data/a", 3, 4),)

    async def test_a_connection_is_handed_over_after_a_clean_end(self, stage: Stage) -> None:
        async def script(agent: ScriptedAgent) -> None:
            for _ in range(2):
                assert (await agent.request())["keep"] is True
                await agent.say(result(PYTHON_OK))

        kept: list[Stream] = []
        client = stage.client(script, keep=kept)
        await all_of(client.python("1", 1000, 100))
        (stream,) = kept
        assert stream.is_quiet()

        async def again() -> Stream:
            return stream

        async def put(stream: Stream) -> None:
            kept.append(stream)

        await all_of(AgentClient(again, keep=put).python("1", 1000, 100))
        assert kept == [stream, stream]
        await stream.aclose()

    @pytest.mark.parametrize(
        "frames",
        [
            (failure("busy"),),
            (result({}),),
            (result(PYTHON_OK), b"x"),
            (encode(FrameType.STDOUT, b"x"),),
        ],
        ids=["refusal", "nonsense", "more than the result", "no result"],
    )
    async def test_a_connection_is_not_handed_over_after_another(self, stage: Stage, frames: tuple[bytes, ...]) -> None:
        kept: list[Stream] = []
        patience = Patience(call_grace_s=0.05)
        with pytest.raises(AgentError):
            await all_of(stage.client(says(*frames), patience, keep=kept).python("1", 0, 100))
        assert kept == []

    async def test_a_request_too_large_for_one_message_is_refused_before_dialling(self) -> None:
        async def dial() -> Stream:
            raise AssertionError("not to be dialled")

        client = AgentClient(dial)
        with pytest.raises(AgentRefusedError) as caught:
            await all_of(client.python("x" * 9_000_000, 5000, 100))
        assert caught.value.code == "too_large"
        with pytest.raises(AgentRefusedError) as caught:
            await all_of(client.shell(["echo \ud800"], 5000, 100))
        assert caught.value.code == "bad_request"

    async def test_an_agent_that_does_not_take_the_request_is_overdue(self, stage: Stage) -> None:
        async def script(agent: ScriptedAgent) -> None:
            await overdue.wait()

        overdue = asyncio.Event()
        with pytest.raises(AgentOverdueError):
            await all_of(stage.client(script, SOON).python("x" * 4_000_000, 5000, 100))
        overdue.set()

    async def test_an_agent_that_refuses_without_reading_is_heard(self, stage: Stage) -> None:
        async def script(agent: ScriptedAgent) -> None:
            await agent.say(failure("busy"))
            await agent.stream.aclose()

        with pytest.raises(AgentRefusedError):
            await all_of(stage.client(script).python("x" * 4_000_000, 5000, 100))


class TestListing:
    async def test_batches_are_gathered(self, stage: Stage) -> None:
        client = stage.client(says(event({"event": "files", "files": [FILE]}), result({"complete": True})))
        assert await client.list_files(10) == FileListing((AgentFile("/mnt/data/a", 3, 4),), complete=True)

    async def test_a_listing_over_the_limit_ends_there(self, stage: Stage) -> None:
        files = [{**FILE, "path": f"/mnt/data/{number}"} for number in range(5)]
        listing = await stage.client(says(event({"event": "files", "files": files}))).list_files(4)
        assert len(listing.files) == 4
        assert not listing.complete


class TestUploads:
    async def test_chunks_of_any_size_arrive_whole_in_bounded_frames(self, stage: Stage) -> None:
        """The decoder on the other side refuses a frame that is over its limit."""
        received = bytearray()

        async def script(agent: ScriptedAgent) -> None:
            request = await agent.request()
            assert request == {"op": "file_put", "path": "/mnt/data/a", "exclusive": True}
            while (frame := await agent.frame())[0] is FrameType.DATA:
                received.extend(frame[1])
            assert frame[0] is FrameType.END
            await agent.say(result(FILE))

        chunks = [b"", b"a", b"b" * DATA_BYTES_MAX, b"c" * (2 * DATA_BYTES_MAX + 1)]
        file = await stage.client(script).put_file("/mnt/data/a", chunks_of(*chunks), exclusive=True)
        assert file == AgentFile("/mnt/data/a", 3, 4)
        assert bytes(received) == b"".join(chunks)

    async def test_an_empty_file_is_an_end_alone(self, stage: Stage) -> None:
        async def script(agent: ScriptedAgent) -> None:
            await agent.request()
            assert await agent.frame() == (FrameType.END, b"")
            await agent.say(result({**FILE, "size": 0}))

        assert (await stage.client(script).put_file("/mnt/data/a", chunks_of(), exclusive=False)).size == 0

    @pytest.mark.parametrize("hangs_up", [False, True])
    async def test_a_refusal_is_noticed_while_sending(self, stage: Stage, hangs_up: bool) -> None:
        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * DATA_BYTES_MAX

        async def script(agent: ScriptedAgent) -> None:
            await agent.request()
            await agent.frame()
            await agent.say(failure("no_space"))
            if hangs_up:
                await agent.stream.aclose()

        with pytest.raises(AgentRefusedError) as caught:
            await stage.client(script).put_file("/mnt/data/a", endless(), exclusive=False)
        assert caught.value.code == "no_space"

    async def test_a_refusal_is_noticed_while_the_caller_is_slow(self, stage: Stage) -> None:
        closed = asyncio.Event()

        async def stuck() -> AsyncIterator[bytes]:
            try:
                yield b"x"
                await asyncio.Event().wait()
            finally:
                closed.set()

        async def script(agent: ScriptedAgent) -> None:
            await agent.request()
            await agent.say(failure("exists"))

        with pytest.raises(AgentRefusedError):
            await stage.client(script, SOON).put_file("/mnt/data/a", stuck(), exclusive=True)
        assert closed.is_set()

    async def test_a_slow_caller_does_not_make_the_agent_overdue(self, stage: Stage) -> None:
        async def slow() -> AsyncIterator[bytes]:
            yield b"x"
            await asyncio.sleep(3 * SOON.idle_s)  # the caller's own slowness is what is tested
            yield b"y"

        async def script(agent: ScriptedAgent) -> None:
            await agent.request()
            while (await agent.frame())[0] is FrameType.DATA:
                pass
            await agent.say(result(FILE))

        await stage.client(script, SOON).put_file("/mnt/data/a", slow(), exclusive=False)

    async def test_an_agent_that_stops_reading_is_overdue(self, stage: Stage) -> None:
        overdue = asyncio.Event()

        async def script(agent: ScriptedAgent) -> None:
            await agent.request()
            await overdue.wait()

        with pytest.raises(AgentOverdueError):
            await stage.client(script, SOON).put_file("/mnt/data/a", chunks_of(b"x" * 4_000_000), exclusive=False)
        overdue.set()

    @pytest.mark.parametrize("error", [RuntimeError("the client went away"), ConnectionError("reset"), TimeoutError()])
    async def test_errors_of_the_chunks_come_out_and_hang_up_before_the_end(
        self, stage: Stage, error: Exception
    ) -> None:
        frames = []

        async def broken() -> AsyncIterator[bytes]:
            yield b"x"
            raise error

        async def script(agent: ScriptedAgent) -> None:
            await agent.request()
            with contextlib.suppress(StopAsyncIteration, ConnectionError):
                while True:
                    frames.append((await agent.frame())[0])

        with pytest.raises(type(error)) as caught:
            await stage.client(script).put_file("/mnt/data/a", broken(), exclusive=False)
        assert caught.value is error
        await stage.close()
        assert frames == [FrameType.DATA]

    async def test_an_answer_before_the_end_is_misbehaviour(self, stage: Stage) -> None:
        async def stuck() -> AsyncIterator[bytes]:
            yield b"x"
            await asyncio.Event().wait()

        with pytest.raises(AgentMisbehavedError):
            await stage.client(says(result(FILE))).put_file("/mnt/data/a", stuck(), exclusive=False)

    async def test_an_answer_about_another_file_is_misbehaviour(self, stage: Stage) -> None:
        async def script(agent: ScriptedAgent) -> None:
            await agent.request()
            await agent.frame()
            await agent.say(result({**FILE, "path": "/mnt/data/b"}))

        with pytest.raises(AgentMisbehavedError):
            await stage.client(script).put_file("/mnt/data/a", chunks_of(), exclusive=False)


def opened(size: int) -> bytes:
    return event({"event": "opened", "size": size})


def data(content: bytes) -> bytes:
    return encode(FrameType.DATA, content)


class TestDownloads:
    async def test_a_file_comes_in_chunks(self, stage: Stage) -> None:
        client = stage.client(says(opened(6), data(b"abc"), data(b"def"), result({})))
        content = await client.get_file("/mnt/data/a")
        assert content.size == 6
        assert await all_of(content.chunks) == [b"abc", b"def"]

    @pytest.mark.parametrize(
        ("offset", "length", "expected"),
        [(0, 2, 2), (4, None, 2), (4, 10, 2), (6, None, 0), (9, 5, 0), (0, 0, 0)],
    )
    async def test_a_part_has_exactly_the_length_that_the_size_allows(
        self, stage: Stage, offset: int, length: int | None, expected: int
    ) -> None:
        frames = [data(b"x" * expected)] if expected else []
        content = await stage.client(says(opened(6), *frames, result({}))).get_file("/mnt/data/a", offset, length)
        assert b"".join(await all_of(content.chunks)) == b"x" * expected
        content = await stage.client(says(opened(6), *frames, data(b"x"), result({}))).get_file(
            "/mnt/data/a", offset, length
        )
        with pytest.raises(AgentMisbehavedError):
            await all_of(content.chunks)

    async def test_a_file_is_whole_with_its_last_byte(self, stage: Stage) -> None:
        content = await stage.client(hangs_up_after(opened(6), data(b"abcdef"))).get_file("/mnt/data/a")
        assert [chunk async for chunk in content.chunks] == [b"abcdef"]

    async def test_a_hang_up_before_the_last_byte_is_an_error(self, stage: Stage) -> None:
        content = await stage.client(hangs_up_after(opened(6), data(b"abcde"))).get_file("/mnt/data/a")
        with pytest.raises(AgentGoneError):
            _ = [chunk async for chunk in content.chunks]

    async def test_a_file_that_became_shorter_is_an_honest_error(self, stage: Stage) -> None:
        content = await stage.client(says(opened(6), data(b"abc"), result({}))).get_file("/mnt/data/a")
        with pytest.raises(AgentRefusedError):
            await all_of(content.chunks)

    @pytest.mark.parametrize(
        "frames",
        [
            [data(b"abc")],
            [event({"event": "opened"})],
            [event({"event": "opened", "size": -1})],
            [event({"event": "files", "size": 1})],
            [result({})],
        ],
    )
    async def test_a_file_that_is_not_opened_well_is_misbehaviour(self, stage: Stage, frames: list[bytes]) -> None:
        with pytest.raises(AgentMisbehavedError):
            await stage.client(says(*frames)).get_file("/mnt/data/a")

    @pytest.mark.parametrize("frame", [data(b""), opened(1), encode(FrameType.STDOUT, b"x"), result({}) + data(b"x")])
    async def test_what_has_no_place_among_the_bytes_is_misbehaviour(self, stage: Stage, frame: bytes) -> None:
        content = await stage.client(says(opened(3) + frame)).get_file("/mnt/data/a")
        with pytest.raises(AgentMisbehavedError):
            await all_of(content.chunks)

    async def test_a_download_that_stands_still_is_overdue(self, stage: Stage) -> None:
        content = await stage.client(says(opened(6), data(b"abc")), SOON).get_file("/mnt/data/a")
        with pytest.raises(AgentOverdueError):
            await all_of(content.chunks)

    async def test_a_failure_in_the_middle_is_passed_on(self, stage: Stage) -> None:
        content = await stage.client(says(opened(6), data(b"abc"), failure("internal"))).get_file("/mnt/data/a")
        with pytest.raises(AgentRefusedError):
            await all_of(content.chunks)

    async def test_closing_hangs_up_even_before_the_first_chunk(self, stage: Stage) -> None:
        content = await stage.client(says(opened(6))).get_file("/mnt/data/a")
        await content.chunks.aclose()
        await content.chunks.aclose()
