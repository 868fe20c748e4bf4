"""``atoll create`` and ``atoll update``: what they ask for."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Atoll
from tests.unit.cli.scripted_server import Answer, ScriptedServer
from tests.unit.cli.test_connection import CONTAINER, ID


def test_everything_that_can_be_wished(atoll: Atoll, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted.answers["POST /v1/containers"] = Answer(CONTAINER)
    monkeypatch.setenv("TOKEN", "s3cret")
    wishes = ("--memory", "4g", "--expires-after", "5", "--file-id", "file-1", "--allow", "a.example", "--allow", "*.b")
    assert atoll("create", "x", *wishes, "--secret", "a.example:TOKEN").stdout == ID + "\n"
    assert json.loads(scripted.asked[0].body) == {
        "name": "x",
        "memory_limit": "4g",
        "expires_after": {"anchor": "last_active_at", "minutes": 5},
        "file_ids": ["file-1"],
        "network_policy": {
            "type": "allowlist",
            "allowed_domains": ["a.example", "*.b"],
            "domain_secrets": [{"domain": "a.example", "name": "TOKEN", "value": "s3cret"}],
        },
    }


def test_what_was_made_is_said_also_when_a_file_does_not_get_in(
    atoll: Atoll, scripted: ScriptedServer, tmp_path: Path
) -> None:
    (tmp_path / "a").touch()
    scripted.answers["POST /v1/containers"] = Answer(CONTAINER)
    outcome = atoll("create", "x", "--file", "a")
    assert (outcome.code, outcome.stdout) == (5, ID + "\n")
    assert "Nothing here." in outcome.stderr


def test_what_is_changed(atoll: Atoll, scripted: ScriptedServer) -> None:
    scripted.answers[f"POST /v1/containers/{ID}"] = Answer(CONTAINER)
    assert json.loads(atoll("update", ID, "--name", "y", "--no-network").stdout) == CONTAINER
    assert json.loads(scripted.asked[0].body) == {"name": "y", "network_policy": {"type": "disabled"}}
    assert atoll("update", ID, "--allow", "a.example", "--expires-after", "9").code == 0
    assert json.loads(scripted.asked[1].body) == {
        "expires_after": {"anchor": "last_active_at", "minutes": 9},
        "network_policy": {"type": "allowlist", "allowed_domains": ["a.example"]},
        "keep_domain_secrets": True,
    }
    assert atoll("update", ID, "--allow", "a.example", "--drop-secrets", "--json").code == 0
    assert "keep_domain_secrets" not in json.loads(scripted.asked[2].body)


@pytest.mark.parametrize(
    "wrong",
    [
        ("update", ID),
        ("update", ID, "--allow", "a", "--no-network"),
        ("update", ID, "--secret", "a:B"),
        ("update", ID, "--no-network", "--drop-secrets"),
        ("create", "x", "--secret", "no-variable"),
        ("create", "x", "--allow", "a", "--secret", "a"),
        ("create", "x", "--allow", "a", "--secret", "a:NOT_SET_ANYWHERE"),
        ("create", "x", "--file", "gone"),
    ],
)
def test_wishes_that_make_no_sense(atoll: Atoll, scripted: ScriptedServer, wrong: tuple[str, ...]) -> None:
    assert atoll(*wrong).code == 2
    assert scripted.asked == []
