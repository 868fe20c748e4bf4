"""``atoll bench`` on a real server: it tells times, and leaves nothing behind."""

import json
import signal
import subprocess
import sys

import pytest

from tests.harness.poll import wait_until
from tests.harness.server import AtollServer
from tests.unit.cli.conftest import call


def test_a_measurement(oci_server: AtollServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOLL_BASE_URL", oci_server.base_url)
    monkeypatch.setenv("ATOLL_API_KEY", oci_server.api_key)
    before = {item["id"] for item in oci_server.api().containers()}
    outcome = call("bench", "--runs", "1", "--json")
    assert outcome.code == 0, outcome
    told = json.loads(outcome.stdout)
    assert told["base_url"] == oci_server.base_url
    assert [(row["runs"], row["failures"]) for row in told["rows"]] == [(1, 0), (1, 0), (10, 0), (10, 0)]
    assert all(0 < row["p50_ms"] <= row["p99_ms"] for row in told["rows"])
    assert {item["id"] for item in oci_server.api().containers()} <= before


def test_an_interrupt_leaves_nothing(oci_server: AtollServer) -> None:
    api = oci_server.api()

    def made() -> list[str]:
        return [item["id"] for item in api.containers() if item["name"].startswith("atoll-bench-")]

    bench = subprocess.Popen(
        [sys.executable, "-m", "atoll.operate.main", "bench", "--runs", "1000", "--json"],
        env=oci_server.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_until(made, what="a container of the measurement")
    bench.send_signal(signal.SIGINT)
    stdout, _ = bench.communicate(timeout=60)
    assert bench.returncode == 130
    assert isinstance(json.loads(stdout)["rows"], list)
    assert made() == []
