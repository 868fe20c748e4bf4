"""The supervisor killed with -9 at any moment, and the machine rebooted: what was answered for is there afterwards."""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest

from atoll.agent.client import AgentClient
from atoll.model.calls import CommandOutput
from atoll.model.ids import SandboxId
from atoll.runtime.contract import (
    RuntimeUnavailableError,
    SandboxNotRunningError,
    SandboxSpec,
    SandboxState,
)
from atoll.supervisor.client import SupervisorClient
from tests.harness import machine as host
from tests.harness.poll import TIMEOUT_S, wait_until
from tests.oci_fixtures import OciMachine

SPEC = SandboxSpec(memory_bytes=256 << 20, disk_bytes=256 << 20, pids_max=64, cpus=1.0)
MakeMachine = Callable[..., OciMachine]


@pytest.fixture
def machine(make_oci_machine: MakeMachine) -> OciMachine:
    """Give a supervisor that starts sandboxes cold; with a zygote it is tested in ``test_zygote``."""
    return make_oci_machine(zygote_user=None)


@pytest.fixture
def forking_machine(make_oci_machine: MakeMachine) -> OciMachine:
    """Give one whose zygote comes while sandboxes are made already."""
    return make_oci_machine()


async def shell(client: SupervisorClient, sandbox_id: SandboxId, command: str) -> str:
    agent = AgentClient(lambda: client.dial(sandbox_id))
    async with aclosing(agent.shell([command], 30_000, 10_000)) as events:
        return "".join([event.stdout + event.stderr async for event in events if isinstance(event, CommandOutput)])


async def states(client: SupervisorClient) -> dict[SandboxId, SandboxState]:
    return {sandbox.id: sandbox.state for sandbox in await client.observe()}


def reboot(machine: OciMachine) -> None:
    """Do what a reboot does: all processes end, and what is not on disk is forgotten."""
    machine.kill()
    for pid in host.sandbox_processes(machine.cgroup_parent):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not host.sandbox_processes(machine.cgroup_parent), what="the end of all sandboxes")
    shutil.rmtree(machine.run_dir)


async def test_what_runs_is_adopted(machine: OciMachine) -> None:
    client = machine.client()
    sandbox = await client.create(SPEC)
    await shell(client, sandbox.id, "echo kept > /tmp/file; nohup sleep 600 >/dev/null 2>&1 &")
    pid = machine.init_pid(sandbox.id)
    machine.kill()
    machine.start()
    assert list(await client.observe()) == [sandbox]
    assert machine.init_pid(sandbox.id) == pid
    assert await shell(client, sandbox.id, "cat /tmp/file; pgrep -c sleep") == "kept\n1\n"
    second = await client.create(SPEC)
    assert host.namespaces_of(machine.init_pid(second.id)) != host.namespaces_of(pid)
    await client.destroy(sandbox.id)
    assert not host.is_alive(pid)
    await client.aclose()


async def test_a_request_waits_for_the_supervisors_return(machine: OciMachine) -> None:
    client = machine.client()
    sandbox = await client.create(SPEC)
    machine.kill()
    asking = asyncio.create_task(shell(client, sandbox.id, "echo hello"))
    await asyncio.to_thread(machine.start)
    assert await asking == "hello\n"
    await client.aclose()


async def test_a_supervisor_that_stays_away(machine: OciMachine) -> None:
    machine.stop()
    client = SupervisorClient(machine.socket_path, away_s_max=0.2)
    with pytest.raises(RuntimeUnavailableError):
        await client.observe()
    with pytest.raises(RuntimeUnavailableError):
        _ = client.capabilities
    await client.aclose()


@pytest.mark.parametrize("delay_s", [0.02, 0.05, 0.1, 0.2, 0.3, 0.5])
async def test_killed_in_the_middle_of_creates(forking_machine: OciMachine, delay_s: float) -> None:
    machine, client = forking_machine, forking_machine.client()
    answered: list[SandboxId] = []

    async def create() -> None:
        sandbox = await client.create(SPEC)
        answered.append(sandbox.id)
        await shell(client, sandbox.id, f"echo {sandbox.id} > /mnt/data/id")

    tasks = [asyncio.create_task(create()) for _ in range(8)]
    await asyncio.sleep(delay_s)
    machine.kill()
    await asyncio.to_thread(machine.start)
    await asyncio.gather(*tasks, return_exceptions=True)  # those that were answered now reach theirs
    seen = await states(client)
    assert set(answered) <= set(seen)
    for sandbox_id in answered:
        assert seen[sandbox_id] is SandboxState.RUNNING
        await client.stop(sandbox_id)
        await client.start(sandbox_id)
        assert await shell(client, sandbox_id, "cat /mnt/data/id 2>/dev/null || true") in {"", f"{sandbox_id}\n"}
    for sandbox_id in seen:  # what was not answered for is whole or not there
        if seen[sandbox_id] is SandboxState.STOPPED:
            await client.start(sandbox_id)
        assert await shell(client, sandbox_id, "echo well") == "well\n"
        await client.destroy(sandbox_id)
    await client.aclose()
    wait_until(lambda: not machine.sandboxes() and not machine.held_by_sandboxes(), what="everything freed")


@pytest.mark.parametrize("delay_s", [0.0, 0.03, 0.1])
async def test_killed_in_the_middle_of_destroys_and_stops(forking_machine: OciMachine, delay_s: float) -> None:
    machine, client = forking_machine, forking_machine.client()
    made = [sandbox.id for sandbox in await asyncio.gather(*(client.create(SPEC) for _ in range(6)))]
    gone: list[SandboxId] = []

    async def destroy(sandbox_id: SandboxId) -> None:
        await client.destroy(sandbox_id)
        gone.append(sandbox_id)

    tasks: list[asyncio.Task[None]] = [asyncio.create_task(destroy(sandbox_id)) for sandbox_id in made[:3]]
    tasks += [asyncio.create_task(client.stop(sandbox_id)) for sandbox_id in made[3:]]
    await asyncio.sleep(delay_s)
    machine.kill()
    await asyncio.to_thread(machine.start)
    await asyncio.gather(*tasks)  # all of them may be asked twice, and were
    assert await states(client) == dict.fromkeys(made[3:], SandboxState.STOPPED)
    assert sorted(gone) == sorted(made[:3])
    for sandbox_id in made[3:]:
        await client.start(sandbox_id)
        assert await shell(client, sandbox_id, "echo well") == "well\n"
    await client.aclose()


async def test_a_reboot_keeps_the_files(machine: OciMachine) -> None:
    client = machine.client()
    sandbox = await client.create(SPEC)
    await shell(client, sandbox.id, "echo kept > /mnt/data/file; echo too > /home/sandbox/file; sync")
    reboot(machine)
    machine.start()
    assert await states(client) == {sandbox.id: SandboxState.STOPPED}
    with pytest.raises(SandboxNotRunningError):
        await client.dial(sandbox.id)
    with pytest.raises(SandboxNotRunningError):
        await client.usage(sandbox.id)
    assert (await client.start(sandbox.id)).state is SandboxState.RUNNING
    assert await shell(client, sandbox.id, "cat /mnt/data/file ~/file") == "kept\ntoo\n"
    await client.aclose()


async def test_a_number_that_means_another_process_now(machine: OciMachine) -> None:
    """After a reboot the same pid is somebody else's: it is neither adopted nor ended."""
    client = machine.client()
    sandbox = await client.create(SPEC)
    reboot_record = machine.run_dir / "running" / f"{sandbox.id}.json"
    identity = json.loads(reboot_record.read_text())
    await client.stop(sandbox.id)
    machine.kill()
    reboot_record.write_text(json.dumps({**identity, "pid": os.getpid()}))
    machine.start()
    assert await states(client) == {sandbox.id: SandboxState.STOPPED}
    await client.destroy(sandbox.id)
    await client.aclose()


async def test_ended_while_the_supervisor_was_away(machine: OciMachine) -> None:
    client = machine.client()
    sandbox = await client.create(SPEC)
    machine.kill()
    os.kill(machine.init_pid(sandbox.id), signal.SIGKILL)
    wait_until(lambda: not host.sandbox_processes(machine.cgroup_parent), what="the end of the sandbox")
    machine.start()
    assert await states(client) == {sandbox.id: SandboxState.STOPPED}
    await client.start(sandbox.id)
    assert await shell(client, sandbox.id, "echo well") == "well\n"
    await client.aclose()


async def test_a_term_signal_finishes_what_runs(machine: OciMachine) -> None:
    client = machine.client()
    creating = [asyncio.create_task(client.create(SPEC)) for _ in range(4)]
    await asyncio.sleep(0.02)
    assert await asyncio.to_thread(machine.stop) == 0
    done = await asyncio.gather(*creating, return_exceptions=True)
    await asyncio.to_thread(machine.start)
    made = {sandbox.id for sandbox in done if not isinstance(sandbox, BaseException)}
    assert made <= set(await states(client))
    await client.aclose()


async def test_shutting_all_down_keeps_the_disks_only(machine: OciMachine) -> None:
    client = machine.client()
    sandbox = await client.create(SPEC)
    await shell(client, sandbox.id, "echo kept > /mnt/data/file")
    await client.aclose()
    await asyncio.to_thread(machine.down)
    assert not machine.held()
    assert not list(machine.run_dir.iterdir())
    await asyncio.to_thread(machine.start)
    client = machine.client()
    await client.start(sandbox.id)
    assert await shell(client, sandbox.id, "cat /mnt/data/file") == "kept\n"
    await client.aclose()


async def test_a_cancelled_create_leaves_nothing(machine: OciMachine) -> None:
    client = machine.client()
    for delay_s in (0.0, 0.01, 0.03, 0.06):
        creating = asyncio.create_task(client.create(SPEC))
        await asyncio.sleep(delay_s)
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
    await eventually(lambda: _is_empty(client, machine))
    await client.aclose()


async def test_a_client_that_vanishes_in_the_middle_of_a_create_leaves_nothing(machine: OciMachine) -> None:
    client = machine.client()
    creating = asyncio.create_task(client.create(SPEC))
    await asyncio.sleep(0.01)
    await client.aclose()
    with pytest.raises(RuntimeUnavailableError):
        await creating
    other = machine.client()
    await eventually(lambda: _is_empty(other, machine))
    await other.aclose()


async def _is_empty(client: SupervisorClient, machine: OciMachine) -> bool:
    return not await client.observe() and not machine.sandboxes() and not machine.held_by_sandboxes()


async def eventually(condition: Callable[[], Awaitable[bool]], timeout_s: float = TIMEOUT_S) -> None:
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(0.02)
