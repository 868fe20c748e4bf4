"""Each script that a promise names can be run, in small, and writes the figures that the promise is about."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.promises import PROMISES
from benchmarks.verdict import judge
from tests.harness import machine
from tests.harness.poll import wait_until
from tests.harness.server import PROJECT_DIR

IN_SMALL = {
    "alive": ["--containers=3", "--runs=2"],
    "bytes": ["--mib=16", "--rounds=1"],
    "calls": ["--runs=3", "--at-once=2"],
    "churn": ["--seconds=1"],
    "density": ["--containers=2"],
    "egress": ["--runs=2", "--turns=1", "--downloads=1", "--mib=16", "--creates=1", "--sandboxes=2"],
    "first_output": ["--runs=2", "--bursts=1"],
    "last_active": ["--runs=1"],
    "listing": ["--many=2000", "--runs=10"],
    "start": ["--runs=1"],
    "watchers": ["--terminals=2", "--streams=3", "--deaf=1", "--runs=2"],
}


def test_every_script_is_tried() -> None:
    assert {promise.script for promise in PROMISES} == IN_SMALL.keys()


@pytest.mark.usefixtures("oci_possible")
@pytest.mark.parametrize("script", IN_SMALL)
def test_a_script_writes_its_figures(script: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{script}", *IN_SMALL[script], f"--results={tmp_path}"],
        cwd=PROJECT_DIR,
        env={**os.environ, "PYTHONPATH": str(PROJECT_DIR / "src")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / f"{script}.json").read_text(encoding="utf-8"))
    for promise in PROMISES:
        if promise.script == script:
            readings = judge(promise, result).readings
            assert all(reading.number is not None and not reading.failures for reading in readings)


@pytest.mark.usefixtures("oci_possible")
def test_scripts_that_are_ended_end_their_server_first(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.all", f"--results={tmp_path}"],
        cwd=PROJECT_DIR,
        env={**os.environ, "PYTHONPATH": str(PROJECT_DIR / "src")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as scripts:
        home = wait_until(lambda: home_of_server(scripts.pid), what="a server")
        scripts.terminate()
        assert scripts.wait(60) == 128 + signal.SIGTERM
    assert home is not None
    assert not home.exists()
    assert not list(tmp_path.iterdir())


def home_of_server(pid: int) -> Path | None:
    """Give the folder of the server that a process below this one has started."""
    for child in machine.children_of(pid):
        with contextlib.suppress(OSError):
            if "serve" in machine.command_line(child).split():
                variables = Path(f"/proc/{child}/environ").read_text().split("\0")
                (data_dir,) = (one for one in variables if one.startswith("ATOLL_DATA_DIR="))
                return Path(data_dir.partition("=")[2]).parent
        if (found := home_of_server(child)) is not None:
            return found
    return None
