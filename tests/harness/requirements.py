"""What a machine must have for a test to run."""

import os
from typing import NoReturn

import pytest


def unmet(requirement: str) -> NoReturn:
    """Say that something is missing on this machine: fails where that must not be (CI), skips elsewhere."""
    if os.environ.get("CI"):
        pytest.fail(f"{requirement} (CI may not skip this)")
    pytest.skip(requirement)
