"""Sandboxes come to be where the run folder is as systems have it: in memory, and nothing in it may be executed."""

import subprocess
from collections.abc import Callable, Iterator

import pytest

from atoll.runtime.contract import SandboxSpec
from tests.oci_fixtures import OciMachine
from tests.unit.supervisor.test_crashes import shell

SPEC = SandboxSpec(memory_bytes=256 << 20, disk_bytes=256 << 20, pids_max=64, cpus=1.0)


@pytest.fixture
def make_machine(make_oci_machine: Callable[..., OciMachine]) -> Iterator[Callable[..., OciMachine]]:
    """Start a supervisor on such a folder."""
    made: list[OciMachine] = []

    def make(**settings: object) -> OciMachine:
        machine = make_oci_machine(**settings)
        machine.down()
        options = "nosuid,nodev,noexec,mode=711,size=64m"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", machine.run_dir], check=True)
        made.append(machine)
        machine.start()
        return machine

    yield make
    for machine in made:
        machine.down()
        subprocess.run(["umount", machine.run_dir], check=True)


@pytest.mark.parametrize("kind", ["cold", "forked"])
async def test_sandboxes_come_to_be(make_machine: Callable[..., OciMachine], kind: str) -> None:
    machine = make_machine(**({} if kind == "forked" else {"zygote_user": None}))
    if kind == "forked":
        machine.wait_for_zygote()
    client = machine.client()
    sandbox = await client.create(SPEC)
    assert machine.kind(sandbox.id) == kind
    assert await shell(client, sandbox.id, "cp /bin/true . && ./true && cat /etc/hostname") == "sandbox\n"
    await client.destroy(sandbox.id)
    await client.aclose()
