"""A sandbox to attack, from both sides: as people's code, and as root of its user namespace."""

import asyncio
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Literal, TypeVar

import pytest

from atoll.agent.client import AgentClient
from atoll.agent.shell import AgentCommandEnded, AgentShellEvent
from atoll.model.calls import CommandOutput, Image, Logs
from atoll.model.ids import SandboxId
from atoll.runtime.contract import SandboxSpec, SandboxState, Usage
from atoll.supervisor.client import SupervisorClient
from tests.harness.server import PROJECT_DIR
from tests.oci_fixtures import OciMachine

Who = Literal["people", "root"]
T = TypeVar("T")

PROBE = (Path(__file__).parent / "probe.py").read_text()
SPEC = SandboxSpec(memory_bytes=256 << 20, disk_bytes=256 << 20, pids_max=64, cpus=1.0)
TIMEOUT_MS = 60_000
OUTPUT_CHARS_MAX = 1 << 20


class Cell:
    """One sandbox and the ways into it."""

    def __init__(self, machine: OciMachine, spec: SandboxSpec = SPEC) -> None:
        self.machine = machine
        self.spec = spec
        self.id: SandboxId = self._ask(lambda client: client.create(spec)).id
        self.init_pid = machine.init_pid(self.id)
        self.kind = machine.kind(self.id)

    def people(self, command: str, timeout_ms: int = TIMEOUT_MS) -> tuple[int | None, str]:
        """Run a shell command as people's code runs; give exit code and output."""
        return self._ask(lambda client: _shell(client, self.id, command, timeout_ms))

    def python(self, code: str, timeout_ms: int = TIMEOUT_MS) -> tuple[int | None, str]:
        """Run a Python program as people's code runs."""
        return self.people(f"python3 -c {shlex.quote(code)}", timeout_ms)

    def call(self, code: str, timeout_ms: int = TIMEOUT_MS) -> str:
        """Run code in the sandbox's own Python, the one that lives from call to call; give its text."""
        return self._ask(lambda client: _python(client, self.id, code, timeout_ms))

    def images(self, code: str) -> int:
        """Run code likewise; give how many images it showed."""
        return self._ask(lambda client: _count_images(client, self.id, code))

    def root(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a program as root inside, with what the agent is allowed and no more: an agent that was taken over."""
        if self.kind == "forked":
            enter = [
                sys.executable,
                "-m",
                "tests.security.enter",
                str(self.init_pid),
                self.machine.cgroup_parent,
                self.id,
            ]
            environment = {**os.environ, "PYTHONPATH": f"{PROJECT_DIR / 'src'}:{PROJECT_DIR}"}
            return subprocess.run(
                [*enter, *argv], capture_output=True, text=True, timeout=120, check=False, env=environment
            )
        # runc starts it in a folder of the host that bears the name of the sandbox's root, which is long gone.
        (self.machine.run_dir / "staging" / self.id / "root").mkdir(parents=True, exist_ok=True)
        command = ["runc", "--root", str(self.machine.run_dir / "oci"), "exec", "--user", "0:0", self.id, *argv]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def probe(self, who: Who, *attempts: str) -> dict[str, str]:
        """Run the probe; give ``{attempt: outcome}``."""
        if who == "root":
            done = self.root("/usr/bin/python3", "-c", PROBE, *attempts)
            output = done.stdout or done.stderr
        else:
            _, output = self.people(shlex.join(["python3", "-c", PROBE, *attempts]))
        outcomes: dict[str, str] = json.loads(output)
        return outcomes

    def usage(self) -> Usage:
        """Measure it from outside."""
        return self._ask(lambda client: client.usage(self.id))

    def assert_well(self) -> None:
        """The same agent still lives and answers, and a new command runs."""
        states = {box.id: box.state for box in self._ask(lambda client: client.observe())}
        assert states[self.id] is SandboxState.RUNNING
        assert self.machine.init_pid(self.id) == self.init_pid
        assert self.people("echo well") == (0, "well\n")

    def restart(self) -> None:
        """End every process of people's code."""
        self._ask(lambda client: AgentClient(lambda: client.dial(self.id)).restart())

    def close(self) -> None:
        """Remove it."""
        self._ask(lambda client: client.destroy(self.id))

    def _ask(self, what: Callable[[SupervisorClient], Awaitable[T]]) -> T:
        async def ask() -> T:
            client = self.machine.client()
            try:
                return await what(client)
            finally:
                await client.aclose()

        return asyncio.run(ask())


async def _shell(
    client: SupervisorClient, sandbox_id: SandboxId, command: str, timeout_ms: int
) -> tuple[int | None, str]:
    texts: list[str] = []
    exit_code: int | None = None
    agent = AgentClient(lambda: client.dial(sandbox_id))
    event: AgentShellEvent
    async with aclosing(agent.shell([command], timeout_ms, OUTPUT_CHARS_MAX)) as events:
        async for event in events:
            if isinstance(event, CommandOutput):
                texts.append(event.stdout + event.stderr)
            elif isinstance(event, AgentCommandEnded):
                exit_code = event.exit_code
    return exit_code, "".join(texts)


async def _python(client: SupervisorClient, sandbox_id: SandboxId, code: str, timeout_ms: int) -> str:
    agent = AgentClient(lambda: client.dial(sandbox_id))
    async with aclosing(agent.python(code, timeout_ms, OUTPUT_CHARS_MAX, 10)) as events:
        return "".join([event.text async for event in events if isinstance(event, Logs)])


async def _count_images(client: SupervisorClient, sandbox_id: SandboxId, code: str) -> int:
    agent = AgentClient(lambda: client.dial(sandbox_id))
    async with aclosing(agent.python(code, TIMEOUT_MS, OUTPUT_CHARS_MAX, 10)) as events:
        return len([event async for event in events if isinstance(event, Image)])


@pytest.fixture(scope="session")
def cold_machine(oci_possible: None) -> Iterator[OciMachine]:
    """Give a supervisor that starts every sandbox cold."""
    yield from _running(OciMachine(zygote_user=None))


@pytest.fixture(scope="session")
def forking_machine(oci_possible: None) -> Iterator[OciMachine]:
    """Give a supervisor with a zygote that is ready."""
    yield from _running(OciMachine(), "forked")


def _running(machine: OciMachine, kind: str = "cold") -> Iterator[OciMachine]:
    try:
        machine.start()
        if kind == "forked":
            machine.wait_for_zygote()
        yield machine
    finally:
        machine.close()


@pytest.fixture(scope="session", params=["cold", "forked"])
def walled_machine(request: pytest.FixtureRequest) -> OciMachine:
    """Give each of the two: whatever is tested on it must hold for both kinds of sandboxes."""
    machine: OciMachine = request.getfixturevalue("cold_machine" if request.param == "cold" else "forking_machine")
    return machine


@pytest.fixture(scope="module")
def shared_cell(walled_machine: OciMachine) -> Iterator[Cell]:
    """Give a sandbox for attempts that must all fail and so leave it as it was."""
    cell = Cell(walled_machine)
    yield cell
    cell.close()


@pytest.fixture
def cell(walled_machine: OciMachine) -> Iterator[Cell]:
    """Give a sandbox to one test, which may fill and break it."""
    cell = Cell(walled_machine)
    yield cell
    cell.close()


@pytest.fixture
def make_cell(walled_machine: OciMachine) -> Iterator[Callable[[SandboxSpec], Cell]]:
    """Make sandboxes of one's own size."""
    made: list[Cell] = []

    def make(spec: SandboxSpec) -> Cell:
        made.append(Cell(walled_machine, spec))
        return made[-1]

    yield make
    for one in made:
        one.close()
