"""The Python prompt of ``atoll run``: somebody at a terminal, and a real server."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from atoll.cli.connection import Local, Target, connect
from atoll.cli.prompt import run_typed
from atoll.cli.python_source import indent_after, is_whole
from tests.harness.person import Person
from tests.harness.poll import wait_until
from tests.harness.server import AtollServer
from tests.unit.cli.conftest import KEY
from tests.unit.cli.scripted_server import Answer, ScriptedServer
from tests.unit.cli.test_connection import ID, NOT_NOW


@pytest.fixture(scope="module")
def container(plain_server: AtollServer) -> Iterator[str]:
    api = plain_server.api()
    container_id = api.create("prompt")["id"]
    yield container_id
    api.delete(container_id)


def at_prompt(server: AtollServer, cwd: Path, *arguments: str) -> Person:
    environment = {**server.environment, "HOME": str(cwd)}
    environment.pop("XDG_STATE_HOME", None)
    return Person("-m", "atoll.operate.main", "run", *arguments, environment=environment, cwd=cwd)


def test_a_prompt(plain_server: AtollServer, container: str, tmp_path: Path) -> None:
    with at_prompt(plain_server, tmp_path, "prompt") as person:
        person.wait_for("Ctrl-D leaves(?s:.*)>>>")
        person.type("x = 20; print('se' 't')\r").wait_for("set\r\n(?s:.*)>>>")
        person.type("for i in range(2):\rprint(x + i, i * 111)\r\r").wait_for("20 0\r\n21 111\r\n(?s:.*)>>>")
        person.type("x * 2 + 2\r").wait_for("42\r\n(?s:.*)>>>")
        person.type("1 / 0\r").wait_for("ZeroDivisionError: (?s:.*)>>>")
        person.type("import time; print('beg' 'un', flush=True); time.sleep(1000)\r").wait_for("begun\r\n")
        person.type("\x03").wait_for("KeyboardInterrupt(?s:.*)the call is incomplete(?s:.*)>>>")
        person.type("print('dropped'\x03").wait_for(">>>")
        person.type("\x1b[A" * 3 + "\r").wait_for("42\r\n(?s:.*)>>>")
        person.type("\x04")
        assert person.end() == 0
        assert person.modes() == person.modes_before
    history = tmp_path / ".local/state/atoll/python-history"
    assert "+x * 2 + 2\n" in history.read_text()
    assert stat.S_IMODE(history.stat().st_mode) == 0o600


def test_a_prompt_of_its_own_and_a_figure(plain_server: AtollServer, tmp_path: Path) -> None:
    api = plain_server.api()
    with at_prompt(plain_server, tmp_path) as person:
        person.wait_for(">>>")
        (made,) = [item for item in api.containers() if item["name"] == "atoll run"]
        person.type("from IPython.display import Image, display\r").wait_for(">>>")
        person.type("display(Image(data=b'\\x89PNG\\r\\n\\x1a\\n' + bytes(16), format='png'))\r")
        person.wait_for("figure saved as figure-1.png(?s:.*)>>>")
        person.type("exit()\r")
        assert person.end() == 0
    assert (tmp_path / "figure-1.png").read_bytes().startswith(b"\x89PNG")
    wait_until(lambda: made["id"] not in {item["id"] for item in api.containers()}, what="its end")


def test_a_call_that_fails_leaves_the_prompt(
    scripted: ScriptedServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    calls = f"POST /v1/containers/{ID}/code_interpreter_calls"
    scripted.answers[calls] = [NOT_NOW, Answer({"error": {"message": "No."}}, 400)]
    with connect(Target(scripted.base_url, KEY, Local)) as connection:
        for source, said in (("1", "status 503"), ("1", "No. (status 400)"), ("'\udce9'", "no UTF-8 text")):
            run_typed(connection, ID, source, None, tmp_path)
            assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("1 + 1", True),
        ("f(", False),
        ("f(\n1", False),
        ("f(\n1)", False),
        ("f(\n1)\n", True),
        ("if x:", False),
        ("if x:\n    y", False),
        ("if x:\n    y\n", True),
        ("if x: y", False),
        ("@cache", False),
        ("def f():\n    return (\n", False),
        ('"""a', False),
        ("await f()", True),
        ("async with a:", False),
        ("%time", True),
        ("!ls (", True),
        ("print?", True),
        ("%%bash", False),
        ("%%bash\nls (", False),
        ("%%bash\nls\n", True),
        ("1 +* 2", True),
        ("x = 'a\\d'", True),
        ("", True),
    ],
)
def test_when_enter_runs_it(text: str, whole: bool) -> None:
    assert is_whole(text) is whole


def test_how_a_line_begins() -> None:
    assert [indent_after(text) for text in ("x", "if x:", "if x:\n  y", "if x:\n  for y in z: ", "  ")] == [
        "",
        "    ",
        "  ",
        "      ",
        "  ",
    ]
