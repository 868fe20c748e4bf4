"""The client against the real agent, run without walls: both sides of the protocol agree."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from atoll.agent.client import AgentClient
from atoll.agent.errors import AgentRefusedError
from atoll.agent.outcome import Outcome, OutcomeType
from atoll.agent.python import AgentPythonEnded
from atoll.agent.shell import AgentCommandEnded, AgentShellEnded, AgentShellEvent
from atoll.model.calls import CommandOutput, Image, Logs
from atoll.runtime.contract import SandboxSpec
from atoll.runtime.plain import PlainRuntime

SPEC = SandboxSpec(memory_bytes=256 << 20, disk_bytes=64 << 20, pids_max=64, cpus=1.0)
OUTPUT_MAX = 100_000
MEBIBYTE = 1 << 20


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[AgentClient]:
    runtime = PlainRuntime(tmp_path / "sandboxes")
    sandbox = await runtime.create(SPEC)
    yield AgentClient(lambda: runtime.dial(sandbox.id))
    await runtime.destroy(sandbox.id)
    await runtime.aclose()


async def python(agent: AgentClient, code: str, timeout_ms: int = 30_000) -> tuple[str, AgentPythonEnded]:
    async with aclosing(agent.python(code, timeout_ms, OUTPUT_MAX)) as events:
        *output, ended = [event async for event in events]
    assert isinstance(ended, AgentPythonEnded)
    return "".join(event.text for event in output if isinstance(event, Logs)), ended


async def shell(agent: AgentClient, *commands: str, timeout_ms: int = 30_000) -> list[AgentShellEvent]:
    async with aclosing(agent.shell(commands, timeout_ms, OUTPUT_MAX)) as events:
        return [event async for event in events]


def output_of(events: list[AgentShellEvent]) -> list[tuple[int, str, str]]:
    found: dict[int, tuple[str, str]] = {}
    for event in events:
        if isinstance(event, CommandOutput):
            stdout, stderr = found.get(event.index, ("", ""))
            found[event.index] = (stdout + event.stdout, stderr + event.stderr)
    return [(index, *texts) for index, texts in found.items()]


def exit_codes(events: list[AgentShellEvent]) -> list[int | None]:
    return [event.exit_code for event in events if isinstance(event, AgentCommandEnded)]


async def chunks_of(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_python_keeps_its_state(agent: AgentClient) -> None:
    text, ended = await python(agent, "import sys\nx = 41\nprint('out')\nprint('err', file=sys.stderr)\nx + 1")
    assert "out" in text
    assert "err" in text
    assert "42" in text
    assert ended.outcome == Outcome(OutcomeType.OK)
    assert "41" in (await python(agent, "print(x)"))[0]


async def test_python_that_raises_is_an_error_with_a_traceback(agent: AgentClient) -> None:
    text, ended = await python(agent, "1 / 0")
    assert "ZeroDivisionError" in text
    assert ended.outcome.type is OutcomeType.ERROR


async def test_python_out_of_time_keeps_what_it_printed(agent: AgentClient) -> None:
    text, ended = await python(agent, "print('before', flush=True)\nwhile True: pass", timeout_ms=1500)
    assert "before" in text
    assert ended.outcome.type is OutcomeType.TIMEOUT


async def test_python_can_be_interrupted(agent: AgentClient) -> None:
    assert not await agent.interrupt()
    async with aclosing(agent.python("print('on', flush=True)\nwhile True: pass", 30_000, OUTPUT_MAX)) as events:
        await anext(events)
        assert await agent.interrupt()
        *_, ended = [event async for event in events]
    assert isinstance(ended, AgentPythonEnded)
    assert ended.outcome.type is OutcomeType.INTERRUPTED


async def test_a_python_that_dies_says_how(agent: AgentClient) -> None:
    _, ended = await python(agent, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert ended.outcome == Outcome(OutcomeType.DIED, signal=9)
    _, ended = await python(agent, "import os; os._exit(3)")
    assert ended.outcome == Outcome(OutcomeType.DIED, exit_code=3)
    assert "ok" in (await python(agent, "print('ok')"))[0]


async def test_much_output_is_bounded_and_counted(agent: AgentClient) -> None:
    text, ended = await python(agent, f"print('x' * {OUTPUT_MAX * 5})")
    assert len(text) <= OUTPUT_MAX + 65536
    assert ended.omitted_bytes > 0


async def test_figures_are_images_and_files_are_named(agent: AgentClient) -> None:
    code = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nopen('made.txt', 'w').write('x')\nNone"
    async with aclosing(agent.python(code, 30_000, OUTPUT_MAX)) as events:
        *output, ended = [event async for event in events]
    assert isinstance(ended, AgentPythonEnded)
    assert [event.media_type for event in output if isinstance(event, Image)] == ["image/png"]
    assert "/mnt/data/made.txt" in [file.path for file in ended.files]


async def test_shell_commands_in_order(agent: AgentClient) -> None:
    events = await shell(agent, "echo out; echo err >&2", "exit 3", "kill -9 $$", "printf 'caf\\303\\251\\377'")
    assert exit_codes(events) == [0, 3, 137, 0]
    assert output_of(events) == [(0, "out\n", "err\n"), (3, "café\ufffd", "")]
    assert isinstance(events[-1], AgentShellEnded)


async def test_shell_out_of_time_gives_every_command_an_end(agent: AgentClient) -> None:
    events = await shell(agent, "echo one", "echo two; sleep 100", "echo three", timeout_ms=1500)
    assert exit_codes(events) == [0, None, None]
    assert output_of(events) == [(0, "one\n", ""), (1, "two\n", "")]
    assert isinstance(events[-1], AgentShellEnded)
    assert events[-1].outcome.type is OutcomeType.TIMEOUT


async def test_restart_gives_a_fresh_python_and_keeps_files(agent: AgentClient) -> None:
    await python(agent, "x = 1; _ = open('kept.txt', 'w').write('kept')")
    await agent.restart()
    assert "NameError" in (await python(agent, "x"))[0]
    assert "kept" in (await python(agent, "print(open('kept.txt').read())"))[0]


async def test_files_go_in_out_and_away(agent: AgentClient) -> None:
    content = bytes(range(256)) * 8192
    file = await agent.put_file("/mnt/data/sub dir/ünï\n.bin", chunks_of(content), exclusive=False)
    assert file.size == len(content)
    listing = await agent.list_files(10)
    assert listing.complete
    assert listing.files == (file,)
    whole = await agent.get_file(file.path)
    assert b"".join([chunk async for chunk in whole.chunks]) == content
    part = await agent.get_file(file.path, offset=MEBIBYTE, length=10)
    assert part.size == len(content)
    assert b"".join([chunk async for chunk in part.chunks]) == content[MEBIBYTE : MEBIBYTE + 10]
    beyond = await agent.get_file(file.path, offset=len(content) + 5)
    assert [chunk async for chunk in beyond.chunks] == []
    assert await agent.delete_file(file.path)
    assert not await agent.delete_file(file.path)
    assert (await agent.list_files(10)).files == ()


async def test_an_exclusive_put_does_not_replace(agent: AgentClient) -> None:
    await agent.put_file("/mnt/data/a", chunks_of(b"first"), exclusive=True)
    with pytest.raises(AgentRefusedError) as caught:
        await agent.put_file("/mnt/data/a", chunks_of(b"second"), exclusive=True)
    assert caught.value.code == "exists"
    assert (await agent.put_file("/mnt/data/a", chunks_of(b"third one"), exclusive=False)).size == 9


async def test_an_upload_that_breaks_off_leaves_what_was_there(agent: AgentClient) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * MEBIBYTE
        raise RuntimeError("the client went away")

    await agent.put_file("/mnt/data/a", chunks_of(b"first"), exclusive=False)
    with pytest.raises(RuntimeError, match="went away"):
        await agent.put_file("/mnt/data/a", broken(), exclusive=False)
    content = await agent.get_file("/mnt/data/a")
    assert b"".join([chunk async for chunk in content.chunks]) == b"first"
    assert [file.path for file in (await agent.list_files(10)).files] == ["/mnt/data/a"]


async def test_a_file_over_the_limit_is_refused_while_it_is_sent(agent: AgentClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * MEBIBYTE

    with pytest.raises(AgentRefusedError) as caught:
        await agent.put_file("/mnt/data/endless", endless(), exclusive=False)
    assert caught.value.code in {"too_large", "no_space"}
    assert (await agent.list_files(10)).files == ()


@pytest.mark.parametrize(
    ("command", "code"),
    [("true", "not_found"), ("mkdir a", "not_regular"), ("mkfifo a", "not_regular"), ("ln -s /etc a", "not_regular")],
)
async def test_what_is_no_file_is_not_read(agent: AgentClient, command: str, code: str) -> None:
    await shell(agent, command)
    with pytest.raises(AgentRefusedError) as caught:
        await agent.get_file("/mnt/data/a")
    assert caught.value.code == code


async def test_only_regular_files_with_unicode_names_are_listed(agent: AgentClient) -> None:
    await shell(
        agent, r"mkfifo f; mkdir d; ln -s /etc/passwd l; touch $'\377'; truncate -s 1T sparse; touch -d 2400-01-01 t"
    )
    assert {file.path for file in (await agent.list_files(100)).files} == {"/mnt/data/sparse", "/mnt/data/t"}


async def test_a_listing_is_cut_at_its_limit(agent: AgentClient) -> None:
    await shell(agent, "touch $(seq 1000)")
    listing = await agent.list_files(10)
    assert len(listing.files) == 10
    assert not listing.complete


async def test_calls_wait_for_each_other_or_are_refused_and_closing_ends_one(agent: AgentClient) -> None:
    call = agent.shell(["echo on; sleep 1000"], 60_000, OUTPUT_MAX)
    assert await anext(call) == CommandOutput(0, "on\n", "")
    await call.aclose()
    async with asyncio.timeout(20):
        assert exit_codes(await shell(agent, "true")) == [0]
