"""``atoll egress``."""

import json
from pathlib import Path

import httpx
import pytest

from atoll.cli.patience import Patience
from tests.harness.person import Person
from tests.harness.poll import wait_until
from tests.harness.server import PROJECT_DIR
from tests.unit.cli.conftest import Atoll
from tests.unit.cli.scripted_server import Answer, ScriptedServer
from tests.unit.cli.test_connection import NOT_NOW, page

ID = "cntr_" + "0" * 48
PATH = f"GET /v1/containers/{ID}/egress"


def decision(number: int, *, allowed: bool = True, name: str = "example.com") -> dict[str, object]:
    return {
        "id": f"egr_{number}",
        "created_at": 1.5,
        "name": name,
        "port": 443,
        "allowed": allowed,
        "reason": "allowed" if allowed else "name_not_allowed",
        "bytes_sent": 700,
        "bytes_received": 2048,
    }


def test_the_newest_come_last(atoll: Atoll, scripted: ScriptedServer) -> None:
    scripted.answers[PATH] = page(decision(3), decision(2, allowed=False, name="x\x1b[2J"), decision(1))
    outcome = atoll("egress", ID)
    assert [line.split()[2:4] for line in outcome.stdout.splitlines()[1:]] == [
        ["allowed", "example.com"],
        ["refused", "x\u241b[2J"],
        ["allowed", "example.com"],
    ]
    assert [item["id"] for item in json.loads(atoll("egress", ID, "--limit", "2", "--json").stdout)] == [
        "egr_2",
        "egr_3",
    ]
    assert [item["id"] for item in json.loads(atoll("egress", ID, "--refused", "--json").stdout)] == ["egr_2"]
    assert json.loads(atoll("egress", ID, "--limit", "0", "--json").stdout) == []


def test_a_server_that_does_not_answer_now_is_asked_again(
    atoll: Atoll, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atoll.cli.egress._PAUSE_S", 0.0)
    scripted.answers[PATH] = [
        page(decision(1)),
        NOT_NOW,
        page(decision(2)),
        Answer({"error": {"message": "Gone."}}, 404),
    ]
    outcome = atoll("egress", ID, "--follow", "--json")
    assert [json.loads(line)["id"] for line in outcome.stdout.splitlines()] == ["egr_1", "egr_2"]
    assert outcome.code == 5
    scripted.answers[PATH] = NOT_NOW
    assert atoll("egress", ID, "--follow").code == 6


def test_patience_ends_a_minute_after_the_last_answer() -> None:
    now = 0.0
    patience = Patience(lambda: now)
    for now in (0.0, 1000.0, 1060.0):
        with patience.trying():
            if now:
                raise httpx.ReadError("broken")
    assert patience.is_needed
    now = 1061.0
    with pytest.raises(httpx.ReadError), patience.trying():
        raise httpx.ReadError("broken")


def test_what_comes_is_followed(scripted: ScriptedServer, tmp_path: Path) -> None:
    scripted.answers[PATH] = page(decision(1))
    arguments = ("-m", "atoll.operate.main", "egress", ID, "--follow", "--refused")
    environment = {"PYTHONPATH": str(PROJECT_DIR / "src"), "ATOLL_BASE_URL": scripted.base_url, "ATOLL_API_KEY": "sk-x"}
    with Person(*arguments, environment=environment, cwd=tmp_path, columns=200) as person:
        wait_until(lambda: any("after=egr_1" in asked.path for asked in scripted.asked), what="a look at what is new")
        scripted.answers[PATH] = page(decision(2), decision(3, allowed=False, name="evil.example"))
        person.wait_for("refused  evil.example:443  name_not_allowed  sent 700 B, received 2.0 KiB\r\n")
        assert b"example.com" not in person.shown
        person.type("\x03")
        assert person.end() == 130
    assert "order=asc" in scripted.asked[-1].path
