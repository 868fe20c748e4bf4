"""Other official clients: an interpreter with openai 1.x, and Node with its packages."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.requirements import unmet
from tests.harness.server import PROJECT_DIR

NODE_DIR = Path(__file__).parent / "node"
CACHE_DIR = PROJECT_DIR / "build/test-clients"


@pytest.fixture(scope="session")
def openai1_python() -> Path:
    """Give a Python that has the newest openai 1.x: the one that is named, or one made here and kept."""
    named = os.environ.get("ATOLL_TEST_OPENAI1_PYTHON")
    if named:
        return Path(named)
    python = CACHE_DIR / "openai-1/bin/python"
    ready = CACHE_DIR / "openai-1/ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", CACHE_DIR / "openai-1"], check=True)
        install = subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "-r", PROJECT_DIR / "requirements/openai-1.txt"],
            capture_output=True,
            text=True,
            check=False,
        )
        if install.returncode != 0:
            unmet(f"openai 1.x cannot be installed: {install.stderr[-300:]}")
        ready.touch()
    return python


@pytest.fixture(scope="session")
def node() -> str:
    """Give Node, with the packages of tests/sdk/node installed as its lock file says."""
    program = shutil.which("node")
    if program is None or shutil.which("npm") is None:
        unmet("the Node client needs node and npm")
    installed = NODE_DIR / "node_modules/.package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < (NODE_DIR / "package-lock.json").stat().st_mtime:
        install = subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund"], cwd=NODE_DIR, capture_output=True, text=True, check=False
        )
        if install.returncode != 0:
            unmet(f"the Node client cannot be installed: {install.stderr[-300:]}")
    return program
