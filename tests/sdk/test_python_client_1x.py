"""The official Python client 1.x, in its own interpreter, against a real server."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.harness.server import AtollServer
from tests.sdk import checks


@pytest.fixture(scope="module")
def results(openai1_python: Path, oci_server: AtollServer) -> dict[str, str | None]:
    """Run all checks in one go; give each one's error, or ``None``."""
    done = subprocess.run(
        [openai1_python, checks.__file__, oci_server.base_url, oci_server.api_key],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines, done.stderr
    assert lines[0]["version"].startswith("1."), lines[0]
    return {line["name"]: line["error"] for line in lines[1:]}


@pytest.mark.parametrize("check", checks.CHECKS)
def test_client_1x(check: str, results: dict[str, str | None]) -> None:
    assert check in results, "the checks ended before this one"
    error = results[check]
    assert error is None, error
