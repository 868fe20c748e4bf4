"""The newest official Python client against a real server, with and without walls."""

import pytest

from tests.harness.server import AtollServer
from tests.sdk.checks import CHECKS, Target


@pytest.mark.parametrize("check", CHECKS)
def test_newest_client(check: str, server: AtollServer) -> None:
    CHECKS[check](Target(server.base_url, server.api_key))
