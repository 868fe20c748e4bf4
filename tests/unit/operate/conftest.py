"""Launchers with a stand-in for the server, each in a place of its own."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from atoll.operate.instance_lock import running_instance
from tests.harness.poll import wait_until

PROJECT_DIR = Path(__file__).parents[3]
FAKE_SERVER = Path(__file__).parent / "fake_server"


class Home:
    """A place for one launcher, and what it does there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.run_dir = folder / "run"
        self.output = folder / "output"
        self.launchers: list[subprocess.Popen[bytes]] = []

    def command(self, *arguments: str) -> list[str]:
        places = ["--data-dir", str(self.data_dir), "--run-dir", str(self.run_dir)]
        return [sys.executable, "-m", "atoll.operate.main", "serve", *places, "--user", "nobody", *arguments]

    def environment(self, **more: str) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ATOLL_")}
        return {**inherited, "PYTHONPATH": f"{PROJECT_DIR / 'src'}:{FAKE_SERVER}", **more}

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start and wait until it says that it is ready."""
        with self.output.open("wb") as output:
            launcher = subprocess.Popen(
                self.command("--runtime", "plain", "--port", "0", *arguments),
                env=self.environment(**environment),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.launchers.append(launcher)
        wait_until(lambda: "Atoll is ready." in self.said() or launcher.poll() is not None, what="the welcome")
        assert launcher.poll() is None, self.said()
        return launcher

    def refused(self, *arguments: str, **environment: str) -> str:
        """Start what cannot start; give what it says."""
        done = subprocess.run(
            self.command(*arguments),
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode in {1, 2}, done
        return done.stderr

    def said(self) -> str:
        return self.output.read_text()

    @property
    def address(self) -> str:
        instance = running_instance(self.data_dir)
        assert instance is not None
        assert instance.base_url is not None
        return instance.base_url.removesuffix("/v1")

    def who(self) -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(f"{self.address}/who", timeout=20, trust_env=False).json()
        return answer

    def end(self) -> None:
        for launcher in self.launchers:
            if launcher.poll() is None:
                launcher.send_signal(signal.SIGTERM)
                launcher.wait(20)


@pytest.fixture
def home() -> Iterator[Home]:
    folder = Path(tempfile.mkdtemp(prefix="atoll-serve-"))  # pytest's own are closed to the server's user
    folder.chmod(0o755)
    home = Home(folder)
    yield home
    home.end()
    shutil.rmtree(folder)
