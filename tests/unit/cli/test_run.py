"""``atoll run`` and ``atoll sh``: what they send, and what they make of the events that come back."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.cli.server_sent_events import read_events
from atoll.cli.terminal import harmless
from tests.unit.cli.conftest import Atoll
from tests.unit.cli.scripted_server import Answer, ScriptedServer

ID = "cntr_" + "0" * 48
PYTHON = f"POST /v1/containers/{ID}/code_interpreter_calls"
SHELL = f"POST /v1/containers/{ID}/shell_calls"
PNG = base64.b64encode(b"a figure").decode()


def stream(*events: dict[str, Any]) -> Answer:
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return Answer(body.encode(), headers={"content-type": "text/event-stream", "x-request-id": "req_1"})


def logs(text: str) -> dict[str, Any]:
    return {"type": "response.code_interpreter_call_logs.delta", "delta": text}


def figure(url: str = f"data:image/png;base64,{PNG}") -> dict[str, Any]:
    return {"type": "response.code_interpreter_call_image.added", "url": url}


def done(status: str = "completed", **item: Any) -> dict[str, Any]:
    return {"type": "response.output_item.done", "item": {"status": status, "files": [], **item}}


def delta(**texts: str) -> dict[str, Any]:
    return {"type": "response.shell_call_output_content.delta", "command_index": 0, "delta": texts}


def command_done(outcome: dict[str, Any], index: int = 0) -> dict[str, Any]:
    output = [{"outcome": outcome}]
    return {"type": "response.shell_call_output_content.done", "command_index": index, "output": output}


def test_output_goes_to_stdout_and_the_code_is_zero(atoll: Atoll, scripted: ScriptedServer) -> None:
    scripted.answers[PYTHON] = stream({"type": "something.new"}, logs("1\n"), logs("2"), done())
    outcome = atoll("run", ID, "print(1)", "--timeout", "1.5")
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, "1\n2", "")
    assert json.loads(scripted.asked[0].body) == {"code": "print(1)", "timeout_ms": 1500, "stream": True}


@pytest.mark.parametrize("status", ["incomplete", "failed"])
def test_a_call_that_was_stopped_ends_with_one(atoll: Atoll, scripted: ScriptedServer, status: str) -> None:
    scripted.answers[PYTHON] = stream(logs("half"), done(status))
    outcome = atoll("run", ID, "1")
    assert (outcome.code, outcome.stdout) == (1, "half")
    assert f"[the call is {status}]" in outcome.stderr


def test_figures_become_files_and_overwrite_none(atoll: Atoll, scripted: ScriptedServer) -> None:
    Path("figure-1.png").write_bytes(b"mine")
    scripted.answers[PYTHON] = stream(figure(), figure(f"data:image/jpeg;base64,{PNG}"), done())
    outcome = atoll("run", ID, "plot()")
    assert outcome.stderr == "[figure saved as figure-2.png]\n[figure saved as figure-1.jpg]\n"
    assert Path("figure-1.png").read_bytes() == b"mine"
    assert Path("figure-2.png").read_bytes() == b"a figure"


def test_a_figure_that_cannot_be_read_is_said(atoll: Atoll, scripted: ScriptedServer) -> None:
    scripted.answers[PYTHON] = stream(figure("data:image/png;base64,!!"), done())
    outcome = atoll("run", ID, "1")
    assert outcome.code == 1
    assert "figure that cannot be read" in outcome.stderr


def test_files_of_the_call_are_named(atoll: Atoll, scripted: ScriptedServer) -> None:
    scripted.answers[PYTHON] = stream(done(files=[{"path": "/mnt/data/a\x1b[2Jb", "bytes": 2048}]))
    assert atoll("run", ID, "1").stderr == "[file /mnt/data/a\u241b[2Jb, 2.0 KiB]\n"


@pytest.mark.parametrize(
    ("why", "code"), [(None, 1), ("sandbox_failed", 3), ("server_error", 3), ("rate_limit_exceeded", 6)]
)
def test_an_error_event_ends_the_command(atoll: Atoll, scripted: ScriptedServer, why: str | None, code: int) -> None:
    error = {"type": "error", "message": "The sandbox broke.", "code": why, "param": None}
    scripted.answers[PYTHON] = scripted.answers[SHELL] = stream(error)
    outcome = atoll("run", ID, "1")
    assert outcome.code == code
    assert "The sandbox broke. (request req_1)" in outcome.stderr
    assert atoll("sh", ID, "1").code == 125


@pytest.mark.parametrize("verb", ["run", "sh"])
def test_a_stream_that_stops_early_is_no_success(atoll: Atoll, scripted: ScriptedServer, verb: str) -> None:
    scripted.answers[PYTHON] = stream(logs("1"))
    scripted.answers[SHELL] = stream(delta(stdout="1"))
    outcome = atoll(verb, ID, "1")
    assert (outcome.code, outcome.stdout) == (125 if verb == "sh" else 3, "1")
    assert "ended the stream before" in outcome.stderr


def test_a_stream_that_is_no_stream_is_said(atoll: Atoll, scripted: ScriptedServer) -> None:
    scripted.answers[PYTHON] = Answer(b"data: [1]\n\n")
    outcome = atoll("run", ID, "1")
    assert outcome.code == 3
    assert "cannot be read" in outcome.stderr


def test_an_error_before_the_stream_is_like_any_other(atoll: Atoll, scripted: ScriptedServer) -> None:
    scripted.answers[PYTHON] = Answer({"error": {"message": "Container is expired.", "param": None}}, 400)
    assert atoll("run", ID, "1").stderr == "atoll: Container is expired. (status 400)\n"


def test_code_comes_from_stdin_or_a_file(atoll: Atoll, scripted: ScriptedServer, tmp_path: Path) -> None:
    scripted.answers[PYTHON] = stream(done())
    assert atoll("run", ID, "-", stdin="print(2)").code == 0
    (tmp_path / "code.py").write_text("print(3)")
    assert atoll("run", ID, "--file", "code.py").code == 0
    assert [json.loads(asked.body)["code"] for asked in scripted.asked] == ["print(2)", "print(3)"]


def test_without_code_it_comes_from_stdin_where_nobody_types(atoll: Atoll, scripted: ScriptedServer) -> None:
    scripted.answers[PYTHON] = stream(done())
    assert atoll("run", ID, stdin="print(4)").code == 0
    assert json.loads(scripted.asked[0].body)["code"] == "print(4)"


@pytest.mark.parametrize("ended", [done(), done("failed"), {"type": "error", "message": "The sandbox broke."}])
def test_a_container_for_one_call_is_removed(atoll: Atoll, scripted: ScriptedServer, ended: dict[str, Any]) -> None:
    scripted.answers["POST /v1/containers"] = Answer({"id": ID})
    scripted.answers[PYTHON] = stream(logs("1"), ended)
    scripted.answers[f"DELETE /v1/containers/{ID}"] = Answer({"deleted": True})
    assert atoll("run", stdin="1").code == (0 if ended == done() else 1)
    assert [asked.method for asked in scripted.asked] == ["POST", "POST", "DELETE"]


@pytest.mark.parametrize("arguments", [[], ["1", "--file", "x"]])
def test_code_comes_from_one_place(atoll: Atoll, arguments: list[str]) -> None:
    outcome = atoll("run", ID, *arguments)
    assert outcome.code == 2
    assert "Give the code as an argument" in outcome.stderr


def test_a_file_that_is_not_there_or_not_text(atoll: Atoll, tmp_path: Path) -> None:
    assert "gone.py cannot be read: No such file" in atoll("run", ID, "--file", "gone.py").stderr
    (tmp_path / "binary").write_bytes(b"\xff")
    assert "not UTF-8" in atoll("run", ID, "--file", "binary").stderr


def test_json_is_the_servers_item(atoll: Atoll, scripted: ScriptedServer) -> None:
    item = {"status": "failed", "outputs": []}
    scripted.answers[PYTHON] = Answer(item)
    outcome = atoll("run", ID, "1", "--json")
    assert (outcome.code, json.loads(outcome.stdout), outcome.stderr) == (1, item, "")


def test_a_commands_output_and_exit_code_are_passed_on(atoll: Atoll, scripted: ScriptedServer) -> None:
    ended = command_done({"type": "exit", "exit_code": 3})
    scripted.answers[SHELL] = stream(delta(stdout="out"), delta(stderr="err"), delta(stdout="!"), ended, done())
    outcome = atoll("sh", ID, "ls -l")
    assert (outcome.code, outcome.stdout, outcome.stderr) == (3, "out!", "err")
    assert json.loads(scripted.asked[0].body) == {"commands": ["ls -l"], "stream": True}


def test_of_several_commands_the_first_that_failed_tells(atoll: Atoll, scripted: ScriptedServer) -> None:
    ends = [command_done({"type": "exit", "exit_code": code}, index) for index, code in enumerate((0, 3, 0))]
    scripted.answers[SHELL] = stream(delta(stdout="1"), ends[0], delta(stdout="2"), *ends[1:], done())
    outcome = atoll("sh", ID, "a", "--then", "b", "--then", "c", "--max-output", "9")
    assert (outcome.code, outcome.stdout) == (3, "12")
    asked = json.loads(scripted.asked[0].body)
    assert (asked["commands"], asked["max_output_length"]) == (["a", "b", "c"], 9)
    scripted.answers[SHELL] = stream(*ends[:2])
    outcome = atoll("sh", ID, "a", "--then", "b", "--then", "c")
    assert (outcome.code, "ended the stream before" in outcome.stderr) == (125, True)


def test_html_is_for_programs(atoll: Atoll, scripted: ScriptedServer) -> None:
    scripted.answers[PYTHON] = Answer({"status": "completed", "outputs": []})
    assert atoll("run", ID, "frame", "--html").code == 2
    assert atoll("run", ID, "frame", "--html", "--json").code == 0
    assert [json.loads(asked.body) for asked in scripted.asked] == [{"code": "frame", "html": True}]


def test_a_command_out_of_time_is_124(atoll: Atoll, scripted: ScriptedServer) -> None:
    scripted.answers[SHELL] = stream(command_done({"type": "timeout"}), done("incomplete"))
    assert atoll("sh", ID, "sleep 9").code == 124
    scripted.answers[SHELL] = Answer({"output": [{"outcome": {"type": "timeout"}}]})
    assert atoll("sh", ID, "sleep 9", "--json").code == 124


@given(st.text())
def test_nothing_harmless_can_drive_a_terminal(text: str) -> None:
    shown = harmless(text)
    assert not any((ord(c) < 0x20 and c not in "\t\n\r") or 0x7F <= ord(c) < 0xA0 for c in shown)
    assert harmless(shown) == shown


@given(st.lists(st.dictionaries(st.text(), st.text(), max_size=3), max_size=5))
def test_events_read_back_as_they_were_written(events: list[dict[str, str]]) -> None:
    lines = [line for event in events for line in ("event: x", f"data: {json.dumps(event)}", ": comment", "")]
    assert list(read_events([*lines, "data: [DONE]", ""])) == events
