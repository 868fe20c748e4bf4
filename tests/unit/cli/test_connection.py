"""Where the command line goes, with which key, and what it says when that does not work."""

import socket

import pytest

from atoll.cli.connection import Local
from tests.unit.cli.conftest import KEY, Atoll
from tests.unit.cli.scripted_server import Answer, ScriptedServer

EMPTY: dict[str, object] = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
ID = "cntr_" + "0" * 48
CONTAINER = {"id": ID, "object": "container", "created_at": 0, "status": "running", "name": "demo"}

NOT_NOW = Answer(b"<html>Starting</html>", 503)


def page(*items: dict[str, object], has_more: bool = False) -> Answer:
    return Answer({**EMPTY, "data": list(items), "has_more": has_more})


def test_options_beat_the_environment(atoll: Atoll, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted.answers["GET /v1/containers"] = page()
    monkeypatch.setenv("ATOLL_BASE_URL", "http://127.0.0.1:1/v1")
    assert atoll("--base-url", scripted.base_url + "/", "--api-key", "sk-option", "ls", "--json").code == 0
    assert scripted.asked[-1].authorization == "Bearer sk-option"


def test_the_machines_own_server_and_key_are_found(
    atoll: Atoll, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted.answers["GET /v1/containers"] = page()
    monkeypatch.delenv("ATOLL_BASE_URL")
    monkeypatch.delenv("ATOLL_API_KEY")
    assert atoll("ls", local=Local(scripted.base_url, "sk-local")).code == 0
    assert scripted.asked[-1].authorization == "Bearer sk-local"


def test_the_machines_own_key_is_not_sent_to_another_server(
    atoll: Atoll, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ATOLL_API_KEY")
    outcome = atoll("ls", local=Local("http://127.0.0.1:8484/v1", "sk-local"))
    assert outcome.code == 4
    assert "is sent only to http://127.0.0.1:8484/v1." in outcome.stderr
    assert "is sent nowhere, because no Atoll runs here." in atoll("ls", local=Local(None, "sk-local")).stderr
    assert "No API key." in atoll("ls").stderr
    assert not scripted.asked


def test_an_error_says_message_field_and_request(atoll: Atoll, scripted: ScriptedServer) -> None:
    error = {"message": "Invalid 'limit'.", "type": "invalid_request_error", "param": "limit", "code": None}
    scripted.answers["GET /v1/containers"] = Answer({"error": error}, 400, {"x-request-id": "req_1"})
    outcome = atoll("ls")
    assert outcome.code == 1
    assert outcome.stderr == "atoll: Invalid 'limit'. (status 400, param limit, request req_1)\n"
    assert not outcome.stdout


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"", b"[]", b'{"error": "x"}'])
def test_an_error_that_is_not_ours_is_shown_as_it_is(atoll: Atoll, scripted: ScriptedServer, body: bytes) -> None:
    scripted.answers["GET /v1/containers"] = Answer(body, 502)
    outcome = atoll("ls")
    assert outcome.code == 3
    assert "status 502" in outcome.stderr


def test_what_is_not_json_is_not_atoll(atoll: Atoll, scripted: ScriptedServer) -> None:
    scripted.answers["GET /v1/containers"] = Answer(b"hello")
    assert "is this Atoll?" in atoll("ls").stderr


def test_nobody_there(atoll: Atoll) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    outcome = atoll("--base-url", f"http://127.0.0.1:{port}/v1", "ls")
    assert outcome.code == 3
    assert f"Cannot reach Atoll at http://127.0.0.1:{port}/v1" in outcome.stderr


def test_somebody_there_who_says_nothing(atoll: Atoll, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atoll.cli.connection._LOOK_TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        outcome = atoll("--base-url", f"http://127.0.0.1:{silent.getsockname()[1]}/v1", "ls")
    assert (outcome.code, "broke" in outcome.stderr) == (3, True)


@pytest.mark.parametrize("arguments", [("attach", ID, "--close", ".."), ("uploads", "rm", "..")], ids=range(2))
def test_an_id_leads_nowhere_else(atoll: Atoll, scripted: ScriptedServer, arguments: tuple[str, ...]) -> None:
    assert atoll(*arguments).code == 5
    assert not scripted.asked


@pytest.mark.parametrize("url", ["ftp://x/v1", "nonsense", "http://[::1:8484/v1", "http://x:port/v1", "http:///v1"])
def test_a_base_url_that_cannot_be(atoll: Atoll, url: str) -> None:
    outcome = atoll("--base-url", url, "ls")
    assert outcome.code == 2
    assert "cannot be used" in outcome.stderr


@pytest.mark.parametrize("key", ["sk-atoll-…", "sk-atoll-1\r", "sk-\udce9", "sk atoll"], ids=range(4))
def test_a_key_that_cannot_be(atoll: Atoll, scripted: ScriptedServer, key: str) -> None:
    outcome = atoll("--api-key", key, "ls")
    assert outcome.code == 4
    assert "give the whole key" in outcome.stderr
    assert key not in outcome.stderr
    assert not scripted.asked


@pytest.mark.parametrize("arguments", [("show", "caf\udce9"), ("run", ID, "'caf\udce9'"), ("create", "caf\udce9")])
def test_what_is_no_text_is_not_sent(atoll: Atoll, scripted: ScriptedServer, arguments: tuple[str, ...]) -> None:
    outcome = atoll(*arguments)
    assert outcome.code == 2
    assert "is no UTF-8 text" in outcome.stderr
    assert not scripted.asked


def test_a_name_is_looked_up_and_expired_ones_do_not_count(atoll: Atoll, scripted: ScriptedServer) -> None:
    expired = {**CONTAINER, "id": "cntr_" + "1" * 48, "status": "expired"}
    scripted.answers["GET /v1/containers"] = page(expired, CONTAINER)
    scripted.answers[f"GET /v1/containers/{ID}"] = Answer(CONTAINER)
    assert atoll("show", "demo").code == 0
    assert scripted.asked[0].path == "/v1/containers?limit=100&name=demo"
    assert scripted.asked[0].authorization == f"Bearer {KEY}"


def test_an_id_is_not_looked_up(atoll: Atoll, scripted: ScriptedServer) -> None:
    scripted.answers[f"GET /v1/containers/{ID}"] = Answer(CONTAINER)
    assert atoll("show", ID).code == 0
    assert len(scripted.asked) == 1


def test_a_name_that_several_have_is_refused_with_their_ids(atoll: Atoll, scripted: ScriptedServer) -> None:
    other_id = "cntr_" + "2" * 48
    other = {**CONTAINER, "id": other_id}
    scripted.answers["GET /v1/containers"] = page(CONTAINER, other)
    outcome = atoll("rm", "demo")
    assert outcome.code == 1
    assert "2 containers are named 'demo'" in outcome.stderr
    assert ID in outcome.stderr
    assert other_id in outcome.stderr
    assert [asked.method for asked in scripted.asked] == ["GET"]


def test_a_name_that_nobody_has(atoll: Atoll, scripted: ScriptedServer) -> None:
    scripted.answers["GET /v1/containers"] = page()
    assert "no container with the id or name '../x'" in atoll("rm", "../x").stderr


def test_removing_looks_up_all_before_it_removes_one(atoll: Atoll, scripted: ScriptedServer) -> None:
    scripted.answers["GET /v1/containers"] = page()
    assert atoll("rm", ID, "nobody").code == 5
    assert [asked.method for asked in scripted.asked] == ["GET"]


@pytest.mark.parametrize(("status", "code"), [(400, 1), (401, 4), (404, 5), (413, 1), (429, 6), (500, 3), (503, 6)])
def test_exit_codes_tell_why(atoll: Atoll, scripted: ScriptedServer, status: int, code: int) -> None:
    scripted.answers[f"GET /v1/containers/{ID}"] = Answer({"error": {"message": "No."}}, status)
    assert atoll("show", ID).code == code
    scripted.answers[f"POST /v1/containers/{ID}/shell_calls"] = Answer({"error": {"message": "No."}}, status)
    assert atoll("sh", ID, "true").code == 125


def test_a_base_url_that_names_only_the_server_is_enough(atoll: Atoll, scripted: ScriptedServer) -> None:
    scripted.answers["GET /v1/containers"] = page()
    assert atoll("--base-url", scripted.base_url.removesuffix("v1"), "ls").code == 0


def test_where_nothing_runs_it_asks_where_the_settings_say(
    atoll: Atoll, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted.answers["GET /v1/containers"] = page()
    monkeypatch.delenv("ATOLL_BASE_URL")
    assert atoll("ls", local=Local(usual_base_url=scripted.base_url)).code == 0


def test_an_expired_container_is_named_to_who_looks_for_it(atoll: Atoll, scripted: ScriptedServer) -> None:
    scripted.answers["GET /v1/containers"] = page({**CONTAINER, "status": "expired"})
    outcome = atoll("rm", "demo")
    assert outcome.code == 5
    assert f"has expired: {ID}" in outcome.stderr


def test_plain_http_is_not_taken_for_a_server_that_is_down(atoll: Atoll, scripted: ScriptedServer) -> None:
    outcome = atoll("--base-url", scripted.base_url.replace("http:", "https:"), "ls")
    assert outcome.code == 3
    assert "or plain http?" in outcome.stderr
