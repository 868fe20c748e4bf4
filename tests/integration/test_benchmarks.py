"""Each script that a promise names can be run, in small, and writes the figures that the promise is about."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.promises import PROMISES
from benchmarks.verdict import judge
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
