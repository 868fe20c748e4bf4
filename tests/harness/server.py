"""A real Atoll server as a child process, with folders, a port and a cgroup of its own."""

import contextlib
import itertools
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

import httpx

from tests.harness import machine
from tests.harness.api import Api
from tests.harness.poll import TIMEOUT_S, wait_until

RuntimeName = Literal["oci", "plain"]
Role = Literal["server", "supervisor", "egress"]

PROJECT_DIR = Path(__file__).resolve().parents[2]
IMAGES_DIR = Path(os.environ.get("ATOLL_TEST_IMAGES_DIR", "/var/lib/atoll/images"))

_PORTS = range(10_000, 32_768)

_numbers = itertools.count(1)


class AtollServer:
    """One server. ``start`` and ``stop`` may alternate; ``close`` ends it for good and asserts that nothing is left.

    ``settings`` go before the harness's own; one that is ``None`` is not set at all.
    """

    def __init__(self, runtime: RuntimeName, settings: Mapping[str, object] | None = None) -> None:
        self.runtime = runtime
        self.home = Path(tempfile.mkdtemp(prefix="atoll-test-", dir="/var/tmp"))  # not tmpfs: disks want direct I/O
        self.home.chmod(0o755)  # the server's own user must get to its folders
        self.data_dir = self.home / "data"
        self.run_dir = self.home / "run"
        self.log_path = self.home / "log"
        self.cgroup_parent = f"/atoll-test-{os.getpid()}-{next(_numbers)}"
        self.port = free_port()
        self.api_key = "sk-atoll-test-" + secrets.token_urlsafe(24)
        self._settings = dict(settings or {})
        self._launcher: subprocess.Popen[bytes] | None = None
        self._apis: list[Api] = []

    @property
    def base_url(self) -> str:
        """Where SDKs are pointed to."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def environment(self) -> dict[str, str]:
        """What the server's commands need to be about this server."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ATOLL_", "OPENAI_"))}
        settings: dict[str, object] = {
            "runtime": self.runtime,
            "port": self.port,
            "data_dir": self.data_dir,
            "run_dir": self.run_dir,
            "images_dir": IMAGES_DIR,
            "cgroup_parent": self.cgroup_parent,
            "user": _system_user(),
            "disk_bytes": "256MiB",
            "memory_overcommit": 50,
            "pool_max": 0,  # what a test finds on the machine is what it made; those about the pool turn it on
            **self._settings,
        }
        return {
            **inherited,
            **{f"ATOLL_{name.upper()}": str(value) for name, value in settings.items() if value is not None},
            "ATOLL_API_KEY": self.api_key,
            "ATOLL_BASE_URL": self.base_url,
            "PYTHONPATH": str(PROJECT_DIR / "src"),
            "PYTHONUNBUFFERED": "1",
        }

    def start(self) -> None:
        """Start it and wait until it is in service."""
        with self.log_path.open("ab") as log:
            self._launcher = subprocess.Popen(
                [sys.executable, "-m", "atoll.operate.main", "serve"],
                env=self.environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.wait_healthy()

    def wait_healthy(self, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until ``/health`` answers 200."""
        wait_until(self._looks_healthy, what=f"{self.runtime} server on port {self.port} healthy", timeout_s=timeout_s)

    def stop(self, timeout_s: float = TIMEOUT_S) -> int:
        """Ask it to end by SIGTERM; give its exit code."""
        launcher = self._running_launcher()
        launcher.send_signal(signal.SIGTERM)
        return self.wait_ended(timeout_s)

    def wait_ended(self, timeout_s: float = TIMEOUT_S) -> int:
        """Wait for the launcher's own end and give its exit code."""
        launcher = self._running_launcher()
        code = launcher.wait(timeout_s)
        self._launcher = None
        return code

    def signal_launcher(self, number: signal.Signals) -> None:
        """Send a signal to the launcher and do not wait."""
        self._running_launcher().send_signal(number)

    def kill_launcher(self) -> None:
        """End the launcher with -9; its children must go with it, which is waited for."""
        children = machine.children_of(self._running_launcher().pid)
        self.signal_launcher(signal.SIGKILL)
        self.wait_ended()
        wait_until(
            lambda: not [pid for pid in children if machine.is_alive(pid)],
            what="the end of server and supervisor after their launcher's",
        )

    def pid_of(self, role: Role) -> int:
        """Give the process in a role. Raises ``LookupError`` while there is none."""
        for pid in machine.children_of(self._running_launcher().pid):
            if machine.command_line(pid).split()[-2:] == ["atoll.operate.child", role]:
                return pid
        raise LookupError(role)

    def kill(self, *roles: Role) -> None:
        """End processes with -9, all at once; the launcher lives and brings them back."""
        pids = [self.pid_of(role) for role in roles]
        for pid in pids:
            machine.kill_9(pid)
        wait_until(lambda: not [pid for pid in pids if machine.is_alive(pid)], what=f"the end of {roles}")

    def reboot(self) -> None:
        """Do what a reboot does to Atoll: end all that runs at once, and forget everything that is not on disk."""
        self.kill_launcher()
        wait_until(self._all_killed, what="the end of all that ran")  # what is about to be forked, too
        wait_until(lambda: not machine.loop_devices_below(self.home), what="loop devices freed")
        for cgroup in sorted(machine.cgroups_below(self.cgroup_parent), reverse=True):
            cgroup.rmdir()
        shutil.rmtree(self.run_dir, ignore_errors=True)

    def atoll(self, *arguments: str, timeout_s: float = 60.0) -> str:
        """Run one of Atoll's commands about this server; give what it printed. A failure is a failed assertion."""
        done = subprocess.run(
            [sys.executable, "-m", "atoll.operate.main", *arguments],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"atoll {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def api(self, api_key: str | None = None) -> Api:
        """Give a client; it is closed with the server."""
        api = Api(self.base_url, api_key or self.api_key)
        self._apis.append(api)
        return api

    @property
    def sandboxes_on_disk(self) -> set[str]:
        """Names of sandboxes of which anything is on disk."""
        folder = self.data_dir / "sandboxes"
        return {path.name for path in folder.iterdir() if path.name.startswith("sbx_")} if folder.is_dir() else set()

    @property
    def sandboxes_that_run(self) -> set[str]:
        """Names of sandboxes that have a cgroup."""
        names = {cgroup.name for cgroup in machine.cgroups_below(self.cgroup_parent)}
        return {name for name in names if name.startswith("sbx_")}

    def footprint(self) -> machine.Footprint:
        """Look at what this server and its sandboxes hold now."""
        return machine.footprint(self.home, self.cgroup_parent)

    def close(self) -> None:
        """End everything: SIGTERM, ``atoll down``; assert that nothing runs or is held, and remove the folders."""
        for api in self._apis:
            api.close()
        try:
            if self._launcher is not None:
                self.stop()
            self.atoll("down", timeout_s=300)  # there may be hundreds of sandboxes
            wait_until(lambda: not self._held(), what="everything freed")
        except TimeoutError:
            raise AssertionError(f"left behind after stop and down: {self._held()}") from None
        finally:
            self._sweep()

    def log_tail(self, start: int = 0, lines_max: int = 80) -> str:
        """Give the last lines of the log that were written after byte ``start``."""
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as log:
            log.seek(start)
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines_max:])

    def _all_killed(self) -> bool:
        pids = machine.processes_of(self.home, self.cgroup_parent)
        for pid in pids:
            machine.kill_9(pid)
        return not pids

    def _held(self) -> dict[str, list[str]]:
        return self.footprint().beyond(machine.NOTHING)

    def _sweep(self) -> None:
        """Leave a clean machine even when a test found that Atoll did not."""
        if self._launcher is not None and self._launcher.poll() is None:
            self._launcher.kill()
            self._launcher.wait()
        for pid in machine.processes_of(self.home, self.cgroup_parent):
            machine.kill_9(pid)
        shutil.rmtree(self.home, ignore_errors=True)

    def _running_launcher(self) -> subprocess.Popen[bytes]:
        assert self._launcher is not None, "the server was not started"
        return self._launcher

    def _looks_healthy(self) -> bool:
        code = self._running_launcher().poll()
        assert code is None, f"atoll serve ended with {code}:\n{self.log_tail()}"
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/health", trust_env=False, timeout=5).status_code == 200
        except httpx.TransportError:
            return False


class MakeServer(Protocol):
    """Starts a server for one test; it is closed, and nothing may be left of it, at the test's end."""

    def __call__(self, runtime: RuntimeName = "oci", **settings: object) -> AtollServer:
        """Give a server that is in service; ``settings`` differ from the harness's own."""
        ...


def free_port() -> int:
    """Give a port that nobody listens on now; none of those that the kernel gives to whoever comes next."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _system_user() -> str:
    """Give the user that the server runs as when tests run as root; ``scripts/serve`` makes ``atoll``."""
    try:
        return pwd.getpwnam("atoll").pw_name
    except KeyError:
        return "nobody"
