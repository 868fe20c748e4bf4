"""Sandboxes kept ready: taken, changed, refilled, and never left over."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from atoll.agent.client import AgentClient
from atoll.model.calls import CommandOutput, Logs
from atoll.model.ids import SandboxId
from atoll.runtime.contract import NoRoomError, SandboxSpec, SandboxState
from atoll.supervisor.client import SupervisorClient
from tests.harness import machine as host
from tests.harness.machine import is_alive
from tests.harness.poll import TIMEOUT_S, wait_until
from tests.oci_fixtures import POOL_SPEC, OciMachine

SPEC = SandboxSpec(memory_bytes=1 << 30, disk_bytes=256 << 20, pids_max=256, cpus=2.0)
SMALLER = replace(SPEC, memory_bytes=256 << 20, pids_max=64, cpus=0.5)
LARGER = replace(SPEC, memory_bytes=2 << 30, pids_max=300)
MakeMachine = Callable[..., OciMachine]
CGROUP_FILES = {
    "memory": ("memory/{}/memory.limit_in_bytes", "{}/memory.max"),
    "pids": ("pids/{}/pids.max", "{}/pids.max"),
    "cpu": ("cpu/{}/cpu.cfs_quota_us", "{}/cpu.max"),
    "weight": ("cpu/{}/cpu.shares", "{}/cpu.weight"),
}
SHUTDOWN_S = 30


@pytest.fixture
def machine(make_oci_machine: MakeMachine) -> OciMachine:
    return make_oci_machine(pool_spec=POOL_SPEC, pool_min=1, pool_max=3)


@pytest.fixture(scope="module")
def shared_machine(oci_possible: None) -> Iterator[OciMachine]:
    machine = OciMachine(pool_spec=POOL_SPEC, pool_min=1, pool_max=1)
    try:
        machine.start()
        yield machine
    finally:
        machine.close()


@pytest.fixture
async def calm(shared_machine: OciMachine) -> AsyncIterator[OciMachine]:
    """Give a supervisor with one ready, to a test that does it no harm; what the test makes is destroyed."""
    client = shared_machine.client()
    await ready(client)
    yield shared_machine
    for sandbox in await client.observe():
        await client.destroy(sandbox.id)
    await client.aclose()


def restart_bare(machine: OciMachine) -> None:
    """Start it again with neither pool nor zygote: all that is there is what was left."""
    machine.change(pool_max=0, zygote_user=None)
    machine.start()


async def python(client: SupervisorClient, sandbox_id: SandboxId, code: str) -> str:
    agent = AgentClient(lambda: client.dial(sandbox_id))
    async with aclosing(agent.python(code, 60_000, 1 << 20)) as events:
        return "".join([event.text async for event in events if isinstance(event, Logs)])


async def shell(client: SupervisorClient, sandbox_id: SandboxId, command: str) -> str:
    agent = AgentClient(lambda: client.dial(sandbox_id))
    async with aclosing(agent.shell([command], 60_000, 1 << 20)) as events:
        return "".join([event.stdout + event.stderr async for event in events if isinstance(event, CommandOutput)])


async def eventually(condition: Callable[[], Awaitable[bool]], timeout_s: float = TIMEOUT_S) -> None:
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(0.02)


async def ready(client: SupervisorClient, count: int = 1) -> None:
    async def is_so() -> bool:
        return (await client.metrics()).pool_ready == count

    await eventually(is_so)


def limit(machine: OciMachine, sandbox_id: str, what: str) -> str:
    group = f"{machine.cgroup_parent.strip('/')}/{sandbox_id}"
    files = [Path("/sys/fs/cgroup") / path.format(group) for path in CGROUP_FILES[what]]
    return next(file.read_text() for file in files if file.exists()).split()[0]


async def test_a_claimed_one_is_as_one_that_was_made(calm: OciMachine) -> None:
    machine, client = calm, calm.client()
    before = await client.metrics()
    (member,) = machine.pooled()
    assert list(await client.observe()) == []
    sandbox = await client.create(SPEC)
    assert sandbox.id == member
    assert sandbox.created_at <= time.time()
    assert list(await client.observe()) == [sandbox]
    metrics = await client.metrics()
    assert (metrics.pool_hits - before.pool_hits, metrics.pool_misses - before.pool_misses) == (1, 0)
    assert int(limit(machine, sandbox.id, "weight")) in {1024, 100}
    assert await python(client, sandbox.id, "import sys; print('pandas' in sys.modules, len(In), Out)") == "True 2 {}\n"
    names = "print(sorted(name for name in dir() if not name.startswith('_')))"
    assert await python(client, sandbox.id, names) == "['In', 'Out', 'exit', 'get_ipython', 'open', 'quit', 'sys']\n"
    assert await shell(client, sandbox.id, "ls -A /mnt/data; echo kept > file") == ""
    await client.stop(sandbox.id)
    await client.start(sandbox.id)
    assert await shell(client, sandbox.id, "cat file") == "kept\n"
    await client.aclose()


@pytest.mark.parametrize("spec", [SMALLER, LARGER])
async def test_other_limits_are_set_and_hold(calm: OciMachine, spec: SandboxSpec) -> None:
    machine, client = calm, calm.client()
    (member,) = machine.pooled()
    sandbox = await client.create(spec)
    assert sandbox.id == member
    assert int(limit(machine, sandbox.id, "memory")) == spec.memory_bytes
    assert int(limit(machine, sandbox.id, "pids")) == spec.pids_max
    assert int(limit(machine, sandbox.id, "cpu")) == spec.cpus * 100_000
    fits = f"block = bytearray(b'x') * {spec.memory_bytes - (160 << 20)}; print('fits')"
    assert await python(client, sandbox.id, fits) == "fits\n"
    await python(client, sandbox.id, f"block = None; block = bytearray(b'x') * {spec.memory_bytes + (16 << 20)}")
    assert (await client.usage(sandbox.id)).memory_kills == 1
    await client.stop(sandbox.id)
    await client.start(sandbox.id)
    assert int(limit(machine, sandbox.id, "memory")) == spec.memory_bytes
    await client.aclose()


@pytest.mark.parametrize("spec", [replace(SPEC, disk_bytes=128 << 20), replace(SPEC, memory_bytes=128 << 20)])
async def test_what_does_not_fit_is_made(calm: OciMachine, spec: SandboxSpec) -> None:
    client = calm.client()
    before = await client.metrics()
    (member,) = calm.pooled()
    assert (await client.create(spec)).id != member
    metrics = await client.metrics()
    assert (metrics.pool_hits, metrics.pool_misses) == (before.pool_hits, before.pool_misses)
    assert (metrics.pool_ready, calm.pooled()) == (1, [member])
    await client.aclose()


async def test_it_refills_and_follows_demand(machine: OciMachine) -> None:
    client = machine.client()
    await ready(client)
    made = await asyncio.gather(*(client.create(SPEC) for _ in range(3)))
    assert len({sandbox.id for sandbox in made}) == 3
    assert (await client.metrics()).pool_target == 3
    await ready(client, 3)
    assert len(machine.pooled()) == 3
    await client.aclose()


async def test_a_dead_one_is_replaced_and_never_handed_out(calm: OciMachine) -> None:
    machine, client = calm, calm.client()
    (member,) = machine.pooled()
    pid = machine.init_pid(member)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), what="its end")
    sandbox = await client.create(SPEC)
    assert sandbox.id != member
    assert await shell(client, sandbox.id, "echo well") == "well\n"
    await ready(client)
    assert member not in machine.sandboxes()
    await client.aclose()


async def test_refused_creates_leave_the_pool_as_it_is(make_oci_machine: MakeMachine) -> None:
    total_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    overcommit = 1.5 * SPEC.memory_bytes / total_bytes
    machine = make_oci_machine(pool_spec=POOL_SPEC, pool_min=1, pool_max=1, memory_overcommit=overcommit)
    client = machine.client()
    await ready(client)
    await client.create(SPEC)
    await ready(client)
    pooled = machine.pooled()
    with pytest.raises(NoRoomError, match="memory"):
        await client.create(SPEC)
    assert machine.pooled() == pooled
    await client.aclose()


async def test_ready_ones_take_no_place_from_people(make_oci_machine: MakeMachine) -> None:
    machine = make_oci_machine(pool_spec=POOL_SPEC, pool_min=2, pool_max=2, sandboxes_max=2)
    client = machine.client()
    await ready(client, 2)
    other = replace(SPEC, disk_bytes=128 << 20)
    await client.create(other)
    await client.create(other)
    await ready(client, 0)
    with pytest.raises(NoRoomError, match="2 sandboxes"):
        await client.create(SPEC)
    await client.aclose()


async def test_it_is_given_up_while_the_disk_is_short(machine: OciMachine) -> None:
    client = machine.client()
    await ready(client)
    await asyncio.to_thread(machine.stop)
    machine.change(disk_free_bytes_min=shutil.disk_usage(machine.home).free * 3 // 4)
    await asyncio.to_thread(machine.start)
    assert await shell(client, (await client.create(SPEC)).id, "echo well") == "well\n"
    assert (await client.metrics()).pool_misses == 1
    assert machine.pooled() == []
    await client.aclose()


async def test_a_stop_gives_the_pool_up(machine: OciMachine) -> None:
    client = machine.client()
    await ready(client)
    sandbox = await client.create(SPEC)
    await ready(client)
    assert await asyncio.to_thread(machine.stop) == 0
    assert machine.sandboxes() == [sandbox.id]
    assert {path.name for path in host.cgroups_below(machine.cgroup_parent)} >= {sandbox.id}
    await asyncio.to_thread(machine.start)
    assert list(await client.observe()) == [sandbox]
    await client.aclose()


async def test_a_killed_supervisors_pool_is_removed(machine: OciMachine) -> None:
    client = machine.client()
    await ready(client)
    (member,) = machine.pooled()
    pid = machine.init_pid(member)
    machine.kill()
    assert is_alive(pid)
    await asyncio.to_thread(machine.start)
    assert list(await client.observe()) == []
    wait_until(lambda: not is_alive(pid) and member not in machine.sandboxes(), what="the old pool removed")
    await ready(client)
    await client.aclose()


async def test_a_killed_supervisors_pool_is_removed_by_down(machine: OciMachine) -> None:
    client = machine.client()
    await ready(client)
    await client.aclose()
    machine.kill()
    await asyncio.to_thread(machine.down)
    assert not machine.held()
    assert not machine.sandboxes()


@pytest.mark.parametrize("step", ["before", "written", "renamed", "claimed"])
async def test_killed_at_each_step_of_a_claim(machine: OciMachine, step: str) -> None:
    """What a claim leaves on disk at each of its steps, as a kill would: nobody's until the mark is gone."""
    client = machine.client()
    await ready(client)
    (member,) = machine.pooled()
    machine.kill()
    kept = machine.sandboxes_dir / member / "sandbox.json"
    changed = kept.read_bytes().replace(b'"pids_max": 256', b'"pids_max": 99')
    if step == "written":
        kept.with_suffix(".json.unfinished").write_bytes(changed)
    elif step != "before":
        kept.write_bytes(changed)
    if step == "claimed":
        (machine.run_dir / "ready" / member).unlink()
    await asyncio.to_thread(restart_bare, machine)
    seen = await client.observe()
    if step == "claimed":
        assert [(sandbox.id, sandbox.state) for sandbox in seen] == [(member, SandboxState.RUNNING)]
        assert await shell(client, seen[0].id, "echo well") == "well\n"
        await client.destroy(seen[0].id)
    else:
        assert list(seen) == []
    wait_until(lambda: member not in machine.sandboxes(), what="freed")
    await client.aclose()


async def test_a_mark_of_before_a_reboot_is_not_believed(machine: OciMachine) -> None:
    """Taking it away may not have lasted: what it says is nobody's may be somebody's."""
    client = machine.client()
    await ready(client)
    sandbox = await client.create(SPEC)
    await shell(client, sandbox.id, "echo kept > file; sync")
    machine.kill()
    first = machine.init_pid(sandbox.id)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not is_alive(first), what="the end of its first process")
    (machine.run_dir / "ready" / sandbox.id).write_text("another boot")
    await asyncio.to_thread(machine.start)
    assert [seen.id for seen in await client.observe()] == [sandbox.id]
    await client.start(sandbox.id)
    assert await shell(client, sandbox.id, "cat file") == "kept\n"
    await client.aclose()


async def test_other_limits_last(machine: OciMachine) -> None:
    client = machine.client()
    await ready(client)
    sandbox = await client.create(LARGER)
    machine.kill()
    os.kill(machine.init_pid(sandbox.id), signal.SIGKILL)
    await asyncio.to_thread(restart_bare, machine)
    await client.start(sandbox.id)
    assert limit(machine, sandbox.id, "memory") == str(LARGER.memory_bytes)
    await client.aclose()


@pytest.mark.parametrize("delay_s", [0.0, 0.002, 0.005, 0.01, 0.05, 0.15, 0.5])
async def test_killed_in_the_middle_of_claims_and_fills(machine: OciMachine, delay_s: float) -> None:
    client = machine.client()
    await ready(client)
    answered: list[SandboxId] = []

    async def create() -> None:
        answered.append((await client.create(SPEC)).id)

    tasks = [asyncio.create_task(create()) for _ in range(3)]
    await asyncio.sleep(delay_s)
    machine.kill()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.to_thread(restart_bare, machine)
    seen = {sandbox.id: sandbox.state for sandbox in await client.observe()}
    assert set(answered) <= set(seen)
    for sandbox_id, state in seen.items():
        if state is SandboxState.STOPPED:
            assert sandbox_id not in answered
            await client.start(sandbox_id)
        assert await shell(client, sandbox_id, "echo well") == "well\n"
        await client.destroy(sandbox_id)
    await client.aclose()
    wait_until(lambda: not machine.sandboxes() and not machine.held_by_sandboxes(), what="everything freed")


async def test_a_stop_does_not_wait_for_a_fill(make_oci_machine: MakeMachine) -> None:
    machine = make_oci_machine(pool_spec=POOL_SPEC, pool_min=3, pool_max=3)
    wait_until(lambda: bool(machine.pooled()), what="a fill in flight")
    started_at = time.monotonic()
    assert await asyncio.to_thread(machine.stop) == 0
    assert time.monotonic() - started_at < SHUTDOWN_S
    assert not machine.sandboxes()
