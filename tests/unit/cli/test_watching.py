"""``atoll logs``, ``atoll stats`` and ``atoll top``."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atoll.cli.connection import Local, Target, connect
from atoll.cli.living import Living
from tests.harness.person import Person
from tests.harness.server import PROJECT_DIR, AtollServer
from tests.unit.cli.conftest import KEY, Atoll
from tests.unit.cli.scripted_server import Answer, ScriptedServer
from tests.unit.cli.test_connection import CONTAINER, ID, NOT_NOW, page

STATS: dict[str, Any] = {
    "object": "container.stats",
    "container_id": ID,
    "sampled_at": 5.5,
    "memory": {"used_bytes": 104857600, "limit_bytes": 1073741824},
    "cpu": {"used_seconds": 12.5, "cores": 0.98, "limit_cores": 2.0},
    "processes": {"count": 9, "limit": 256},
    "disk": {"used_bytes": None, "limit_bytes": None},
    "network": None,
    "history": [],
}


def told(number: int, kind: str) -> dict[str, Any]:
    return {"type": kind, "id": f"s-{number}", "container_id": ID, "at": 5.5}


def stream(event: dict[str, Any]) -> Answer:
    return Answer(f"id: {event['id']}\ndata: {json.dumps(event)}\n\n".encode())


@pytest.fixture(scope="module")
def container(plain_server: AtollServer) -> Iterator[str]:
    api = plain_server.api()
    container_id = api.create("watching")["id"]
    api.shell(container_id, "echo hello > a.txt")
    yield container_id
    api.send("DELETE", f"/containers/{container_id}")


def test_what_happened(real_atoll: Atoll, container: str) -> None:
    outcome = real_atoll("logs", container)
    assert outcome.code == 0
    assert [line.split()[2] for line in outcome.stdout.splitlines()] == [
        "container.created",
        "call.started",
        "file.changed",
        "call.ended",
    ]
    assert "/mnt/data/a.txt created by assistant, 6 B" in outcome.stdout
    told = [json.loads(line) for line in real_atoll("logs", container, "--limit", "2", "--json").stdout.splitlines()]
    assert [event["type"] for event in told] == ["file.changed", "call.ended"]
    assert real_atoll("logs", container, "--limit", "0").stdout == ""


def test_what_happens_until_the_end(plain_server: AtollServer, tmp_path: Path) -> None:
    api = plain_server.api()
    container_id = api.create("followed")["id"]
    arguments = ("-m", "atoll.operate.main", "logs", container_id, "--follow")
    with Person(*arguments, environment=plain_server.environment, cwd=tmp_path, columns=200) as person:
        person.wait_for("container.created")
        api.upload(container_id, "x\x1b[2J.txt", b"1")
        person.wait_for(r"/mnt/data/x\xe2\x90\x9b\[2J.txt created by user, 1 B\r\n")
        api.delete(container_id)
        person.wait_for("container.deleted")
        assert person.end() == 0


def test_a_server_that_starts_anew_behind_a_proxy_is_waited_for(
    atoll: Atoll, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atoll.cli.event_stream._PAUSE_S", 0.0)
    path = f"GET /v1/containers/{ID}/events"
    first, last = told(1, "container.created"), told(2, "container.deleted")
    scripted.answers[path] = stream(first)
    scripted.answers[f"{path}?after=start"] = [NOT_NOW, Answer(b"", 502), stream(first), NOT_NOW]
    scripted.answers[f"{path}?after=s-1"] = [NOT_NOW, Answer({}, 429), stream(last)]
    outcome = atoll("logs", ID, "--follow", "--json")
    assert outcome.code == 0
    assert [json.loads(line)["id"] for line in outcome.stdout.splitlines()] == ["s-1", "s-2"]
    scripted.answers[path] = NOT_NOW
    assert atoll("logs", ID, "--follow").code == 6


def test_what_containers_hold(real_atoll: Atoll, container: str) -> None:
    (told,) = json.loads(real_atoll("stats", container, "--json").stdout)
    assert (told["container_id"], told["memory"]["used_bytes"] > 0) == (container, True)
    assert container in real_atoll("stats", "watching").stdout.splitlines()[1]
    assert real_atoll("stats", "cntr_" + "0" * 48).code == 5


def test_a_row(atoll: Atoll, scripted: ScriptedServer) -> None:
    scripted.answers["GET /v1/containers"] = page(
        {**CONTAINER, "last_active_at": 0, "expires_after": {"anchor": "last_active_at", "minutes": 5}}
    )
    scripted.answers[f"GET /v1/containers/{ID}/stats"] = Answer(STATS)
    row = [ID, "100", "MiB", "1.0", "GiB", "0.98/2", "12.5", "s", "9/256", "-", "-", "-"]
    assert atoll("stats", ID).stdout.splitlines()[1].split() == row
    assert atoll("top").stdout.splitlines()[1].split() == ["demo", *row, "0:00"]
    assert json.loads(atoll("top", "--json").stdout) == [{"name": "demo", **STATS}]


def test_living_ones_behind_expired_ones_are_found(atoll: Atoll, scripted: ScriptedServer) -> None:
    expired = {**CONTAINER, "id": "cntr_" + "1" * 48, "status": "expired"}
    scripted.answers["GET /v1/containers"] = page(*[expired] * 100, has_more=True)
    scripted.answers[f"GET /v1/containers?limit=100&after={expired['id']}"] = page(CONTAINER)
    scripted.answers[f"GET /v1/containers/{ID}/stats"] = Answer(STATS)
    assert [row["name"] for row in json.loads(atoll("top", "--json").stdout)] == ["demo"]


def test_a_later_look_goes_no_further_back_than_it_must(scripted: ScriptedServer) -> None:
    ids = [f"cntr_{number:048}" for number in range(4)]
    listed = [{**CONTAINER, "id": one, "created_at": 9 - number} for number, one in enumerate(ids)]
    listed[2]["status"] = "expired"
    scripted.answers["GET /v1/containers"] = page(*listed[:2], has_more=True)
    scripted.answers[f"GET /v1/containers?limit=100&after={ids[1]}"] = page(*listed[2:])
    with connect(Target(scripted.base_url, KEY, Local)) as connection:
        living = Living(connection)
        assert [item["id"] for item in living.newest(2)] == ids[:2]
        assert len(scripted.asked) == 1
        listed[3]["status"] = "expired"
        scripted.answers[f"GET /v1/containers?limit=100&after={ids[1]}"] = page(*listed[2:])
        assert [item["id"] for item in living.newest(5)] == ids[:2]
        assert len(scripted.asked) == 3
        scripted.answers["GET /v1/containers"] = page(*listed[:3], has_more=True)
        assert [item["id"] for item in living.newest(5)] == ids[:2]
        assert len(scripted.asked) == 4


def test_a_container_that_ends_meanwhile_is_left_out(atoll: Atoll, scripted: ScriptedServer) -> None:
    scripted.answers["GET /v1/containers"] = page(CONTAINER)
    assert json.loads(atoll("top", "--json").stdout) == []
    assert atoll("top", "--order", "beauty").code == 2


@pytest.mark.parametrize(("leave", "columns"), [("q", 200), ("\x03", 100)], ids=["q", "ctrl-c"])
def test_all_the_time(plain_server: AtollServer, container: str, tmp_path: Path, leave: str, columns: int) -> None:
    arguments = ("-m", "atoll.operate.main", "top", "--interval", "600", "--order", "newest")
    with Person(*arguments, environment=plain_server.environment, cwd=tmp_path, columns=columns) as person:
        person.wait_for("by newest(?s:.*)watching")
        person.type("c").wait_for("by cores(?s:.*)watching")
        person.type("\x1b[A").type("n").wait_for("by newest")
        person.type(leave)
        assert person.end() == 0
        assert person.modes() == person.modes_before
        assert b"\x1b[?1049l" in person.shown


def test_all_the_time_over_a_break(scripted: ScriptedServer, tmp_path: Path) -> None:
    scripted.answers["GET /v1/containers"] = page(CONTAINER)
    scripted.answers[f"GET /v1/containers/{ID}/stats"] = Answer(STATS)
    environment = {"PYTHONPATH": str(PROJECT_DIR / "src"), "ATOLL_BASE_URL": scripted.base_url, "ATOLL_API_KEY": KEY}
    with Person(
        "-m", "atoll.operate.main", "top", "--interval", "0.5", environment=environment, cwd=tmp_path, columns=200
    ) as person:
        person.wait_for("demo")
        scripted.answers["GET /v1/containers"] = NOT_NOW
        person.wait_for("no answer now, asking again(?s:.*)demo")
        scripted.answers["GET /v1/containers"] = page({**CONTAINER, "name": "again"})
        person.wait_for("again(?s:.*)again ")
        person.type("q")
        assert person.end() == 0
