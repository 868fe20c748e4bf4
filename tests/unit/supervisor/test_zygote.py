"""The zygote dies, cannot start or is killed in the middle: sandboxes live on, and new ones come to be all the same."""

import asyncio
import os
import signal
from collections.abc import Callable

import pytest

from atoll.runtime.contract import SandboxSpec, SandboxState
from tests.harness import machine as host
from tests.harness.poll import wait_until
from tests.oci_fixtures import OciMachine
from tests.unit.supervisor.test_crashes import shell

SPEC = SandboxSpec(memory_bytes=256 << 20, disk_bytes=256 << 20, pids_max=64, cpus=1.0)
MakeMachine = Callable[..., OciMachine]


async def test_a_dead_zygote_is_replaced_and_its_forks_live_on(make_oci_machine: MakeMachine) -> None:
    machine = make_oci_machine()
    first = machine.wait_for_zygote()
    client = machine.client()
    sandbox = await client.create(SPEC)
    assert machine.kind(sandbox.id) == "forked"
    os.kill(first, signal.SIGKILL)
    _wait_for_another(machine, first)
    assert await shell(client, sandbox.id, "echo alive") == "alive\n"
    other = await client.create(SPEC)
    assert machine.kind(other.id) == "forked"
    for one in (sandbox, other):
        await client.destroy(one.id)
    await client.aclose()
    wait_until(lambda: not machine.held_by_sandboxes(), what="everything freed")


async def test_forked_sandboxes_are_adopted_after_kill_9(make_oci_machine: MakeMachine) -> None:
    machine = make_oci_machine()
    zygote = machine.wait_for_zygote()
    client = machine.client()
    sandbox = await client.create(SPEC)
    pid = machine.init_pid(sandbox.id)
    machine.kill()
    wait_until(lambda: not host.is_alive(zygote), what="the end of the zygote, whose supervisor is gone")
    machine.start()
    assert list(await client.observe()) == [sandbox]
    assert (machine.init_pid(sandbox.id), machine.kind(sandbox.id)) == (pid, "forked")
    assert await shell(client, sandbox.id, "echo alive") == "alive\n"
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not host.is_alive(pid), what="the end of the agent")
    wait_until(lambda: not (machine.run_dir / "running" / f"{sandbox.id}.json").exists(), what="tidying")
    assert [one.state for one in await client.observe()] == [SandboxState.STOPPED]
    machine.wait_for_zygote()
    await client.start(sandbox.id)
    assert machine.kind(sandbox.id) == "forked"
    await client.destroy(sandbox.id)
    await client.aclose()


async def test_a_zygote_killed_while_sandboxes_are_made(make_oci_machine: MakeMachine) -> None:
    machine = make_oci_machine()
    client = machine.client()
    zygote = machine.wait_for_zygote()
    for is_last in (False, False, True):
        making = [asyncio.create_task(client.create(SPEC)) for _ in range(4)]
        await asyncio.sleep(0.05)
        os.kill(zygote, signal.SIGKILL)
        for sandbox in await asyncio.gather(*making):
            assert await shell(client, sandbox.id, "echo well") == "well\n"
            await client.destroy(sandbox.id)
        if not is_last:  # after a third death in a row the next one is long in coming
            zygote = _wait_for_another(machine, zygote)
    await client.aclose()
    wait_until(lambda: not machine.held_by_sandboxes(), what="everything freed")


async def test_nothing_that_has_ended_waits_to_be_collected(make_oci_machine: MakeMachine) -> None:
    """A sandbox's pid namespace ends no sooner than that."""
    machine = make_oci_machine()
    machine.wait_for_zygote()
    client = machine.client()
    sandbox = await client.create(SPEC)
    assert machine.kind(sandbox.id) == "forked"
    assert [pid for pid in host.children_of(machine.pid) if not host.is_alive(pid)] == []
    await client.destroy(sandbox.id)
    assert [pid for pid in host.children_of(machine.pid) if not host.is_alive(pid)] == []
    await client.aclose()


def _wait_for_another(machine: OciMachine, zygote: int) -> int:
    wait_until(lambda: machine.wait_for_zygote() != zygote, what="another zygote")
    return machine.wait_for_zygote()


@pytest.mark.parametrize(
    ("settings", "why"),
    [({"zygote_user": "nobody-of-that-name"}, "there is no system user"), ({"zygote_user": "root"}, "must not be")],
)
async def test_without_a_user_sandboxes_start_cold_and_the_log_says_why(
    make_oci_machine: MakeMachine, settings: dict[str, str], why: str
) -> None:
    machine = make_oci_machine(**settings)
    client = machine.client()
    for _ in range(2):
        sandbox = await client.create(SPEC)
        assert machine.kind(sandbox.id) == "cold"
        assert await shell(client, sandbox.id, "echo well") == "well\n"
        await client.destroy(sandbox.id)
    await client.aclose()
    assert machine.log_path.read_text().count(why) == 1
