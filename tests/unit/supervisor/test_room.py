"""Room on the machine: who is let in, what a full disk does, and that coming and going leaves nothing."""

import asyncio
import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from atoll.runtime.contract import NoRoomError, Sandbox, SandboxSpec, SandboxState, SpecRefusedError
from tests.harness.machine import is_alive
from tests.harness.poll import TIMEOUT_S, wait_until
from tests.oci_fixtures import OciMachine

SPEC = SandboxSpec(memory_bytes=256 << 20, disk_bytes=256 << 20, pids_max=64, cpus=1.0)
MakeMachine = Callable[..., OciMachine]


async def when_there_is_room(ask: Callable[[], Awaitable[Sandbox]]) -> Sandbox:
    """Ask until what was ended just before is tidied."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            try:
                return await ask()
            except NoRoomError:
                await asyncio.sleep(0.02)


async def test_memory_is_promised_to_those_that_run(make_oci_machine: MakeMachine) -> None:
    total_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    machine = make_oci_machine(memory_overcommit=2.5 * SPEC.memory_bytes / total_bytes)
    client = machine.client()
    first, second = await client.create(SPEC), await client.create(SPEC)
    with pytest.raises(NoRoomError, match="memory"):
        await client.create(SPEC)
    assert len(machine.sandboxes()) == 2
    await client.stop(first.id)
    third = await when_there_is_room(lambda: client.create(SPEC))
    with pytest.raises(NoRoomError):
        await client.start(first.id)
    await client.destroy(second.id)
    await client.destroy(third.id)
    assert (await when_there_is_room(lambda: client.start(first.id))).state is SandboxState.RUNNING
    await client.aclose()


async def test_as_many_sandboxes_as_there_may_be(make_oci_machine: MakeMachine) -> None:
    machine = make_oci_machine(sandboxes_max=1)
    client = machine.client()
    first = await client.create(SPEC)
    await client.stop(first.id)
    with pytest.raises(NoRoomError, match="1 sandboxes"):
        await client.create(SPEC)
    await client.destroy(first.id)
    await client.create(SPEC)
    await client.aclose()


async def test_what_no_machine_can_give(make_oci_machine: MakeMachine) -> None:
    machine = make_oci_machine()
    client = machine.client()
    with pytest.raises(SpecRefusedError, match="GiB"):
        await client.create(replace(SPEC, memory_bytes=client.capabilities.memory_bytes_max + 1))
    assert not machine.sandboxes()
    await client.aclose()


def frozen(machine: OciMachine, sandbox_id: str) -> bool:
    for path, value in (("freezer/{}/freezer.state", "FROZEN"), ("{}/cgroup.freeze", "1")):
        file = Path("/sys/fs/cgroup") / path.format(f"{machine.cgroup_parent.strip('/')}/{sandbox_id}")
        if file.exists():
            return file.read_text().strip() == value
    raise AssertionError("no freezer")


async def test_a_full_disk_freezes_and_thaws(make_oci_machine: MakeMachine) -> None:
    machine = make_oci_machine()
    client = machine.client()
    kept, stopped, destroyed = [await client.create(SPEC) for _ in range(3)]
    init_pid = machine.init_pid(destroyed.id)
    await asyncio.to_thread(machine.stop)
    machine.change(disk_free_bytes_min=4 * shutil.disk_usage(machine.home).free)
    await asyncio.to_thread(machine.start)
    running = (kept, stopped, destroyed)
    wait_until(lambda: all(frozen(machine, sandbox.id) for sandbox in running), what="every process to stand still")
    with pytest.raises(NoRoomError, match="disk"):
        await client.create(SPEC)
    # Frozen ones can be ended: that is what makes room.
    await client.destroy(destroyed.id)
    assert not is_alive(init_pid)
    await client.stop(stopped.id)
    machine.kill()
    machine.change(disk_free_bytes_min=1 << 30)
    await asyncio.to_thread(machine.start)
    assert not frozen(machine, kept.id)
    assert {sandbox.id: sandbox.state for sandbox in await client.observe()} == {
        kept.id: SandboxState.RUNNING,
        stopped.id: SandboxState.STOPPED,
    }
    await client.aclose()


async def test_without_an_image(make_oci_machine: MakeMachine) -> None:
    machine = make_oci_machine(image="none")
    client = machine.client()
    with pytest.raises(Exception, match="atoll image build"):
        await client.create(SPEC)
    assert not machine.sandboxes()
    await client.aclose()


async def test_an_oci_runtime_that_fails_leaves_nothing(make_oci_machine: MakeMachine) -> None:
    machine = make_oci_machine(oci_runtime="false")
    client = machine.client()
    with pytest.raises(Exception, match="ended with 1"):
        await client.create(SPEC)
    wait_until(lambda: not machine.sandboxes() and not machine.held_by_sandboxes(), what="everything freed")
    await client.aclose()


async def test_coming_and_going_leaves_nothing_in_the_supervisor(make_oci_machine: MakeMachine) -> None:
    machine = make_oci_machine()
    client = machine.client()

    async def cycle() -> None:
        sandboxes = await asyncio.gather(*(client.create(SPEC) for _ in range(4)))
        for number, sandbox in enumerate(sandboxes):
            stream = await client.dial(sandbox.id)
            await stream.aclose()
            if number % 2:
                os.kill(machine.init_pid(sandbox.id), signal.SIGKILL)
            await client.destroy(sandbox.id)

    await cycle()
    before = holdings(machine)
    for _ in range(5):
        await cycle()
    await asyncio.to_thread(wait_until, lambda: holdings(machine) <= before, what=f"no more than {before}")
    # A destroy answers when no process runs; the rest is freed soon after.
    await asyncio.to_thread(wait_until, lambda: not machine.held_by_sandboxes(), what="all of them freed")
    await asyncio.to_thread(
        wait_until, lambda: not list(machine.run_dir.rglob("sbx_*")), what="nothing in the run folder"
    )
    await client.aclose()


def holdings(machine: OciMachine) -> tuple[int, int]:
    """Count what the supervisor has open, and its sandboxes on disk."""
    return len(os.listdir(f"/proc/{machine.pid}/fd")), len(machine.sandboxes())  # noqa: PTH208 - counts
