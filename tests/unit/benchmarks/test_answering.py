"""The far side of a driven contender: a program that answers lines of JSON."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.contenders.live_process import LiveProcess
from tests.harness.server import PROJECT_DIR

PROGRAM = """
from benchmarks.peers.answering import answer

def add(one, two):
    print("not an answer")
    return one + two

def fail():
    raise LookupError("nothing there")

answer({"add": add, "fail": fail})
print("over")
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[LiveProcess]:
    process = LiveProcess([sys.executable, "-c", PROGRAM], errors=tmp_path / "errors", cwd=PROJECT_DIR)
    yield process
    process.end()
    assert (tmp_path / "errors").read_text().endswith("over\n")


def ask(program: LiveProcess, **request: object) -> dict[str, Any]:
    program.say(json.dumps(request).encode())
    answer = json.loads(program.line())
    assert isinstance(answer, dict)
    return answer


def test_values_and_errors_are_answered_and_nothing_else_comes_between(program: LiveProcess) -> None:
    assert ask(program, what="add", one=1, two=2) == {"value": 3}
    assert ask(program, what="fail") == {"error": "LookupError: nothing there"}
    assert ask(program, what="gone") == {"error": "KeyError: 'gone'"}
    assert ask(program, what="add", one="a", two="b") == {"value": "ab"}
