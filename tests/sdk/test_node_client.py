"""The newest official Node client against a real server."""

import subprocess

from tests.harness.server import AtollServer
from tests.sdk.conftest import NODE_DIR


def test_node_client(node: str, oci_server: AtollServer) -> None:
    done = subprocess.run(
        [node, "--test", "--test-reporter=spec"],
        cwd=NODE_DIR,
        env={**oci_server.environment, "OPENAI_BASE_URL": oci_server.base_url, "OPENAI_API_KEY": oci_server.api_key},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tests 0" not in done.stdout, "Node found no test"
