"""What shells are told when somebody presses Tab."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from atoll.cli.app import app
from atoll.cli.connection import Local
from tests.unit.cli.conftest import Atoll
from tests.unit.cli.scripted_server import ScriptedServer
from tests.unit.cli.test_connection import CONTAINER, ID, page

Complete = Callable[[str], str]


@pytest.fixture(params=["bash", "zsh", "fish"])
def complete(request: pytest.FixtureRequest, atoll: Atoll) -> Complete:
    """Ask as a shell does; gives what it is told."""

    def ask(line: str) -> str:
        words = line.split(" ")
        environment = {
            "_ATOLL_COMPLETE": f"complete_{request.param}",
            "_TYPER_COMPLETE_ARGS": line,
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        }
        result = CliRunner().invoke(app, [], prog_name="atoll", env=environment, obj=Local)
        assert result.stderr == ""
        return result.stdout

    return ask


def test_commands_and_options(complete: Complete) -> None:
    assert "attach" in complete("atoll at")
    assert "--resume" in complete("atoll attach --re")


def test_containers_by_name_and_id(complete: Complete, scripted: ScriptedServer) -> None:
    expired = {**CONTAINER, "id": "cntr_" + "1" * 48, "name": "dead", "status": "expired"}
    scripted.answers["GET /v1/containers"] = page(CONTAINER, expired)
    assert "demo" in complete("atoll show d")
    assert "dead" not in complete("atoll show d")
    assert ID in complete("atoll files list cn")
    scripted.answers["GET /v1/containers"] = page(*[expired] * 100, has_more=True)
    scripted.answers[f"GET /v1/containers?limit=100&after={expired['id']}"] = page(CONTAINER)
    assert "demo" in complete("atoll show d")


@pytest.mark.parametrize("name", ["de\\$(id)", "de;id", "de`id`", "de\nid", "de'id", "~de"])
def test_a_name_that_means_something_to_a_shell(complete: Complete, scripted: ScriptedServer, name: str) -> None:
    scripted.answers["GET /v1/containers"] = page({**CONTAINER, "name": name})
    assert "id" not in complete("atoll show d")
    told = complete("atoll show cn")
    assert ID in told
    assert not set("$;`\\~") & set(told)


def test_a_file_whose_name_means_something_to_a_shell(complete: Complete, tmp_path: Path) -> None:
    (tmp_path / "re\\$(id)").touch()
    (tmp_path / "report.csv").touch()
    assert "$" not in complete("atoll cp re")


def test_nobody_there_is_nothing_to_say(complete: Complete, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOLL_BASE_URL", "http://127.0.0.1:1/v1")
    assert "demo" not in complete("atoll show d")
    monkeypatch.delenv("ATOLL_API_KEY")
    assert "demo" not in complete("atoll show d")


def test_files_here(complete: Complete, tmp_path: Path) -> None:
    (tmp_path / "report.csv").touch()
    (tmp_path / "results").mkdir()
    found = complete("atoll cp re")
    assert "report.csv" in found
    assert "results/" in found
