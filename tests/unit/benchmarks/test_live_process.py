"""A process that is asked by lines: its answers, its silence and its end."""

import os
import sys
from pathlib import Path

import pytest

from benchmarks.contenders.contender import ContenderError
from benchmarks.contenders.live_process import WAIT, LiveProcess
from tests.harness import machine
from tests.harness.poll import wait_until


def python(tmp_path: Path, code: str) -> LiveProcess:
    return LiveProcess([sys.executable, "-c", code], errors=tmp_path / "errors")


def test_it_says_a_line_and_stays_until_its_input_ends(tmp_path: Path) -> None:
    process = python(tmp_path, "print('here')" + WAIT)
    assert process.line() == b"here\n"
    assert machine.is_alive(process.pid)
    process.end()
    assert not machine.is_alive(process.pid)


def test_it_answers_line_by_line(tmp_path: Path) -> None:
    process = python(tmp_path, "import sys\nfor line in sys.stdin: print(line.strip()[::-1] + '\\nnext', flush=True)")
    process.say(b"abc")
    assert (process.line(), process.line()) == (b"cba\n", b"next\n")
    process.end()


def test_an_end_without_an_answer_says_why(tmp_path: Path) -> None:
    process = python(tmp_path, "raise SystemExit('no such luck')")
    with pytest.raises(ContenderError, match="it ended without an answer: no such luck"):
        process.line()
    wait_until(lambda: not machine.is_alive(process.pid), what="its end")
    with pytest.raises(ContenderError, match="it does not listen any more: no such luck"):
        process.say(b"hello")
    process.end()


def test_silence_is_bounded(tmp_path: Path) -> None:
    process = python(tmp_path, "import sys; sys.stdin.read()")
    with pytest.raises(ContenderError, match=r"nothing came within 0\.05 s"):
        process.line(0.05)
    process.end()


def test_one_that_stays_is_killed_with_its_children(tmp_path: Path) -> None:
    child = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True); import time; time.sleep(600)"
    process = python(tmp_path, child)
    child_pid = int(process.line())
    with pytest.raises(ContenderError, match="did not end"):
        process.end(0.05)
    assert not machine.is_alive(process.pid)
    wait_until(lambda: not machine.is_alive(child_pid), what="the end of its child")
    process.kill()


def test_a_new_session_keeps_a_terminals_signals_away(tmp_path: Path) -> None:
    process = python(tmp_path, "import os; print(os.getsid(0))" + WAIT)
    assert int(process.line()) == process.pid != os.getsid(0)
    process.end()
