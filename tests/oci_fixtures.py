"""A real supervisor with folders and a cgroup of its own, and the runtime that speaks to it."""

import asyncio
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from atoll.runtime.oci import cgroup
from atoll.supervisor.client import SupervisorClient
from tests.harness import machine
from tests.harness.poll import TIMEOUT_S, wait_until
from tests.harness.server import IMAGES_DIR, PROJECT_DIR

POOL_SPEC = {"memory_bytes": 1 << 30, "disk_bytes": 256 << 20, "pids_max": 256, "cpus": 2.0}

_numbers = itertools.count(1)


class OciMachine:
    """One supervisor. ``start``, ``stop`` and ``kill`` may alternate; ``close`` asserts that nothing is left."""

    def __init__(self, **settings: object) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="atoll-oci-", dir="/var/tmp"))  # not tmpfs: disks want direct I/O
        self.home.chmod(0o711)
        self.sandboxes_dir = self.home / "data/sandboxes"
        self.run_dir = self.home / "run"
        self.socket_path = self.run_dir / "supervisor.sock"
        self.log_path = self.home / "log"
        self.cgroup_parent = f"/atoll-oci-{os.getpid()}-{next(_numbers)}"
        self.cgroups = cgroup.detect(self.cgroup_parent)
        self._settings: dict[str, object] = {
            "sandboxes_dir": str(self.sandboxes_dir),
            "run_dir": str(self.run_dir),
            "images_dir": str(IMAGES_DIR),
            "cgroup_parent": self.cgroup_parent,
            "memory_overcommit": 50.0,
            "socket_path": str(self.socket_path),
            "server_uid": os.geteuid(),
            "server_gid": os.getegid(),
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The supervisor's."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the supervisor and wait until it listens."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(self._command("run"), env=self._environment, stdout=log, stderr=log)
        wait_until(self._answers, what=f"the supervisor's socket; its log:\n{self.log_path.read_text()}")

    def change(self, **settings: object) -> None:
        """Change settings for the next start."""
        self._settings.update(settings)

    def stop(self) -> int:
        """End the supervisor by SIGTERM; give its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the supervisor with -9."""
        self._end(signal.SIGKILL)

    def client(self) -> SupervisorClient:
        """Give a client; close it."""
        return SupervisorClient(self.socket_path)

    def wait_for_zygote(self) -> int:
        """Wait until sandboxes are forked; give the zygote's pid."""
        path = self.run_dir / "zygote.pid"
        wait_until(lambda: path.exists() and path.read_text(), what=f"a zygote; the log:\n{self.log_path.read_text()}")
        return int(path.read_text())

    def kind(self, sandbox_id: str) -> str:
        """Say how a sandbox came to be: ``cold`` or ``forked``."""
        return str(json.loads((self.run_dir / "running" / f"{sandbox_id}.json").read_text())["kind"])

    def init_pid(self, sandbox_id: str) -> int:
        """Give the host's number of a sandbox's first process."""
        identity = json.loads((self.run_dir / "running" / f"{sandbox_id}.json").read_text())
        return int(identity["pid"])

    def held(self) -> dict[str, list[str]]:
        """Say what is held that must go."""
        return machine.footprint(self.home, self.cgroup_parent).beyond(machine.NOTHING)

    def held_by_sandboxes(self) -> dict[str, list[str]]:
        """Say what is held beside the supervisor, its zygote and the empty cgroup of the parent."""
        held = self.held()
        held.pop("namespaces", None)
        ours = {str(pid) for pid in (self.pid, *machine.zygote_processes(self.cgroup_parent))}
        own = [line for line in held.pop("processes", []) if line.split()[0] not in ours]
        cgroups = [path for path in held.pop("cgroups", []) if not path.endswith((self.cgroup_parent, machine.ZYGOTE))]
        return {name: lines for name, lines in {**held, "processes": own, "cgroups": cgroups}.items() if lines}

    def sandboxes(self) -> list[str]:
        """Give the names of sandboxes of which anything is on disk, destroyed ones too."""
        folders = (self.sandboxes_dir, self.sandboxes_dir / ".trash")
        return [path.name for folder in folders for path in folder.iterdir() if path.name.startswith("sbx_")]

    def pooled(self) -> list[str]:
        """Give the names of sandboxes that are in the pool or on their way into it."""
        return [path.name for path in (self.run_dir / "ready").iterdir() if not path.suffix]

    def down(self) -> None:
        """End the supervisor and everything that it has made, but files."""
        if self._process is not None:
            self.stop()
        done = subprocess.run(
            self._command("down"), env=self._environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr

    def close(self) -> None:
        """End everything and assert that nothing is left."""
        try:
            self.down()
            wait_until(lambda: not self.held(), what="everything freed")
        except TimeoutError:
            raise AssertionError(f"left behind: {self.held()}\n{self.log_path.read_text()[-8000:]}") from None
        finally:
            shutil.rmtree(self.home, ignore_errors=True)

    def _command(self, what: str) -> list[str]:
        return [sys.executable, "-m", "tests.supervisor_process", what, json.dumps(self._settings)]

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": f"{PROJECT_DIR / 'src'}:{PROJECT_DIR}"}

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log_path.read_text()
        try:
            SupervisorClient(self.socket_path).capabilities.memory_bytes_max  # noqa: B018 - asks, or raises
        except Exception:  # noqa: BLE001 - not yet
            return False
        return True

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(number)
        return process.wait(60)


@pytest.fixture
def make_oci_machine(oci_possible: None) -> Iterator[Callable[..., OciMachine]]:
    """Start supervisors that belong to one test, which may kill them."""
    made: list[OciMachine] = []

    def make(**settings: object) -> OciMachine:
        made.append(OciMachine(**settings))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def pooling_oci_machine(oci_possible: None) -> Iterator[OciMachine]:
    """Give a supervisor that keeps sandboxes ready, of another size than most tests ask for."""
    shared = OciMachine(pool_spec=POOL_SPEC, pool_min=2, pool_max=4)
    try:
        shared.start()
        yield shared
    finally:
        shared.close()


@pytest_asyncio.fixture
async def pooling_oci_runtime(pooling_oci_machine: OciMachine) -> AsyncIterator[SupervisorClient]:
    """Give the runtime with real walls and at least one sandbox in its pool; what a test leaves is destroyed."""
    client = pooling_oci_machine.client()
    async with asyncio.timeout(TIMEOUT_S):
        while (await client.metrics()).pool_ready == 0:  # noqa: ASYNC110 - what is waited for happens elsewhere
            await asyncio.sleep(0.05)
    yield client
    for sandbox in await client.observe():
        await client.destroy(sandbox.id)
    await client.aclose()


@pytest.fixture(scope="session")
def oci_machine(oci_possible: None) -> Iterator[OciMachine]:
    """Give the supervisor that tests share."""
    shared = OciMachine()
    try:
        shared.start()
        yield shared
    finally:
        shared.close()


@pytest_asyncio.fixture
async def oci_runtime(oci_machine: OciMachine) -> AsyncIterator[SupervisorClient]:
    """Give the runtime with real walls; what a test leaves is destroyed."""
    client = oci_machine.client()
    yield client
    for sandbox in await client.observe():
        await client.destroy(sandbox.id)
    await client.aclose()
