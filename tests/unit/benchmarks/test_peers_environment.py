"""The peers' environment is made once for what is pinned, and a refusal is said each time."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.contenders import peers
from benchmarks.contenders.contender import NotHereError
from benchmarks.contenders.peers import PeersEnvironment


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """What would have been run."""
    seen: list[list[str]] = []

    def run(command: list[str], **_: object) -> None:
        seen.append(list(command))
        (tmp_path / "peers").mkdir(exist_ok=True)

    monkeypatch.setattr(subprocess, "run", run)
    return seen


def test_it_is_made_once_and_again_when_something_else_is_pinned(commands: list[list[str]], tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("one==1\n")
    environment = PeersEnvironment(tmp_path / "peers", requirements)
    environment.make()
    assert [command[:3] for command in commands] == [
        [sys.executable, "-m", "venv"],
        [str(environment.python), "-m", "pip"],
        ["chown", "--recursive", f"--reference={requirements}"],
    ]
    environment.make()
    PeersEnvironment(tmp_path / "peers", requirements).make()
    assert len(commands) == 3
    requirements.write_text("one==2\n")
    environment.make()
    assert len(commands) == 6


def test_a_refusal_is_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    (tmp_path / "requirements.txt").write_text("one==1\n")
    environment = PeersEnvironment(tmp_path / "peers", tmp_path / "requirements.txt")
    for _ in range(2):
        with pytest.raises(NotHereError, match="cannot be installed"):
            environment.make()
    assert not (tmp_path / "peers/made-from").exists()


def test_the_projects_own_requirements_name_none_of_them() -> None:
    project = Path(peers.__file__).parents[2]
    for name in ("pyproject.toml", "requirements/serve.txt", "requirements/test.txt"):
        text = (project / name).read_text()
        assert "llm-sandbox" not in text
        assert "kernel-gateway" not in text
