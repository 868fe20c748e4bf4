"""The command line, called as a person calls it, against a scripted server."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from atoll.cli.app import app
from atoll.cli.connection import Local
from tests.harness.server import AtollServer
from tests.unit.cli.scripted_server import ScriptedServer, running_server

KEY = "sk-test"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


Atoll = Callable[..., Outcome]


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    """Give a server that answers what it is told to."""
    with running_server() as server:
        yield server


@pytest.fixture
def atoll(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Atoll:
    """Give a way to call commands in an empty folder, pointed to the scripted server by the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATOLL_BASE_URL", scripted.base_url)
    monkeypatch.setenv("ATOLL_API_KEY", KEY)
    monkeypatch.setenv("COLUMNS", "200")

    return call


@pytest.fixture
def real_atoll(plain_server: AtollServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Atoll:
    """Give the same, pointed to a real server without walls."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATOLL_BASE_URL", plain_server.base_url)
    monkeypatch.setenv("ATOLL_API_KEY", plain_server.api_key)
    return call


def call(*arguments: str, stdin: str | None = None, local: Local | None = None) -> Outcome:
    """Run a command in this process, which saves the second that a new one takes to start."""
    result = CliRunner().invoke(app, arguments, input=stdin, obj=lambda: local or Local())
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)
