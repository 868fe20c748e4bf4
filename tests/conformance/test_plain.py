"""The plain runtime keeps the contract, and what it promises beyond it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import atoll
from atoll.agent.client import AgentClient
from atoll.runtime.conformance import CHECKS, SPEC, Bench, Check, DoesNotApplyError
from atoll.runtime.conformance.bench import eventually
from atoll.runtime.conformance.host_processes import find_agent_above, find_marked, is_there, parent_of
from atoll.runtime.contract import NoRoomError, RuntimeUnavailableError, SandboxState
from atoll.runtime.plain import PlainRuntime


@pytest.fixture
async def plain_runtime(tmp_path: Path) -> AsyncIterator[PlainRuntime]:
    runtime = PlainRuntime(tmp_path / "sandboxes")
    yield runtime
    await runtime.aclose()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance(plain_runtime: PlainRuntime, check: Check) -> None:
    bench = Bench(plain_runtime)
    try:
        await check(bench)
    except DoesNotApplyError as reason:
        pytest.skip(str(reason))
    finally:
        await bench.close()


async def test_sandboxes_end_with_the_runtime_and_their_files_stay(tmp_path: Path) -> None:
    runtime = PlainRuntime(tmp_path / "sandboxes")
    bench = Bench(runtime)
    sandbox = await bench.create()
    mark = f"plain-close-{sandbox.id}"
    await bench.shell(
        sandbox.id, f"echo kept > kept; setsid bash -c 'exec -a {mark} sleep 1000' </dev/null >/dev/null &"
    )
    await eventually(lambda: found(mark), "the process runs")
    await runtime.aclose()
    assert not find_marked(mark)

    again = Bench(PlainRuntime(tmp_path / "sandboxes"))
    assert await again.observed() == {sandbox.id: SandboxState.STOPPED}
    await again.runtime.start(sandbox.id)
    assert await again.shell(sandbox.id, "cat kept") == (0, "kept\n")
    await again.runtime.destroy(sandbox.id)
    await again.runtime.aclose()
    assert not list((tmp_path / "sandboxes").glob("sbx_*"))


SERVER = """
import asyncio, sys
from pathlib import Path
from atoll.runtime.conformance import Bench
from atoll.runtime.plain import PlainRuntime

async def main():
    bench = Bench(PlainRuntime(Path(sys.argv[1])))
    sandbox = await bench.create()
    mark = f"plain-kill-{sandbox.id}"
    await bench.shell(sandbox.id, f"(setsid bash -c 'exec -a {mark} sleep 1000' &) </dev/null >/dev/null 2>&1")
    print(sandbox.id, flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


async def test_killing_the_server_ends_its_sandboxes_and_the_next_server_finds_them(tmp_path: Path) -> None:
    folder = tmp_path / "sandboxes"
    server = subprocess.Popen(  # noqa: ASYNC220 - it is talked to with one line and a signal
        [sys.executable, "-c", SERVER, str(folder)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(atoll.__file__).parent.parent)},
    )
    assert server.stdout is not None
    sandbox_id = (await asyncio.to_thread(server.stdout.readline)).decode().strip()
    mark = f"plain-kill-{sandbox_id}"
    await eventually(lambda: found(mark), "the process runs")
    server.send_signal(signal.SIGKILL)
    server.wait()
    server.stdout.close()

    runtime = PlainRuntime(folder)
    bench = Bench(runtime)
    assert {str(known) for known in await bench.observed()} == {sandbox_id}
    for sandbox in await runtime.observe():
        await runtime.start(sandbox.id)  # waits for what the first server left behind
        assert not find_marked(mark)
        await bench.agent(sandbox.id).hello()
        await runtime.destroy(sandbox.id)
    await runtime.aclose()


async def test_killing_a_keeper_ends_its_sandbox(plain_runtime: PlainRuntime) -> None:
    bench = Bench(plain_runtime)
    sandbox = await bench.create()
    mark = f"plain-keeper-{sandbox.id}"
    await bench.shell(sandbox.id, f"(setsid bash -c 'exec -a {mark} sleep 1000' &) </dev/null >/dev/null 2>&1")
    await eventually(lambda: found(mark), "the process runs")
    agent_pid = find_agent_above(find_marked(mark)[0])
    assert agent_pid is not None
    os.kill(parent_of(agent_pid), signal.SIGKILL)

    async def stopped() -> bool:
        return (await bench.observed())[sandbox.id] is SandboxState.STOPPED

    await eventually(stopped, "the sandbox is observed as stopped")
    assert not find_marked(mark)
    await eventually(lambda: gone(agent_pid), "the agent is gone")
    await plain_runtime.start(sandbox.id)
    await bench.agent(sandbox.id).hello()
    await bench.close()


async def test_one_folder_has_one_server(plain_runtime: PlainRuntime, tmp_path: Path) -> None:
    with pytest.raises(RuntimeUnavailableError):
        PlainRuntime(tmp_path / "sandboxes")


async def test_a_half_made_folder_is_cleared_away(tmp_path: Path) -> None:
    half = tmp_path / "sandboxes" / ("sbx_" + "0" * 32) / "data"
    half.mkdir(parents=True)
    other = tmp_path / "sandboxes" / "not-ours"
    other.mkdir()
    runtime = PlainRuntime(tmp_path / "sandboxes")
    assert not await runtime.observe()
    await runtime.aclose()
    assert not half.exists()
    assert other.exists()


async def test_folders_closed_by_people_s_code_are_removed(plain_runtime: PlainRuntime, tmp_path: Path) -> None:
    bench = Bench(plain_runtime)
    sandbox = await bench.create()
    await bench.shell(sandbox.id, "mkdir -p a/b && touch a/b/c && chmod 0 a/b a . ; ln -s / a-link")
    await plain_runtime.destroy(sandbox.id)
    assert not list((tmp_path / "sandboxes").glob("sbx_*"))


async def test_there_is_room_for_so_many_only(tmp_path: Path) -> None:
    runtime = PlainRuntime(tmp_path / "sandboxes", running_max=1)
    sandbox = await runtime.create(SPEC)
    with pytest.raises(NoRoomError):
        await runtime.create(SPEC)
    assert [known.id for known in await runtime.observe()] == [sandbox.id]
    await runtime.stop(sandbox.id)
    second = await runtime.create(SPEC)
    with pytest.raises(NoRoomError):
        await runtime.start(sandbox.id)
    await runtime.destroy(second.id)
    await runtime.aclose()


async def test_a_deep_folder_is_no_obstacle_to_sockets(tmp_path: Path) -> None:
    runtime = PlainRuntime(tmp_path / ("deep" * 30) / ("er" * 30))
    sandbox = await runtime.create(SPEC)
    await AgentClient(lambda: runtime.dial(sandbox.id)).hello()
    await runtime.destroy(sandbox.id)
    await runtime.aclose()


async def test_an_agent_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = PlainRuntime(tmp_path / "sandboxes")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeUnavailableError):
        await runtime.create(SPEC)
    assert not await runtime.observe()
    await runtime.aclose()


async def gone(pid: int) -> bool:
    return not is_there(pid)


async def found(mark: str) -> bool:
    return bool(find_marked(mark))
