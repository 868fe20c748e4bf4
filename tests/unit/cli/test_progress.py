"""What takes long shows itself where somebody looks, and nowhere else."""

import io
import sys

import pytest

from atoll.cli import progress
from atoll.cli.progress import Progress, waiting
from tests.harness.poll import wait_until


class Screen(io.StringIO):
    """A terminal that remembers all that was shown."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything take long."""
    monkeypatch.setattr(progress, "_SHOWN_AFTER_S", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")


@pytest.mark.parametrize(("unit", "shown"), [("bytes", "4/4 bytes"), ("files", "4/4")])
def test_a_bar(soon: None, monkeypatch: pytest.MonkeyPatch, unit: progress.Unit, shown: str) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    with Progress("some [bold]name", 4, unit=unit) as bar:
        bar.advance(1)
        # It is seen while nothing more is done, too.
        wait_until(lambda: "some [bold]name" in screen.getvalue(), what="a bar")
        bar.advance(3)
    assert shown in screen.getvalue()


def test_a_name_is_no_word_to_the_terminal(soon: None, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    with Progress("a\x1b]52;c;eA==\x07\nb", 4) as bar:
        bar.advance(1)
        wait_until(lambda: "a\u241b]52;c;eA==\u2407 b" in screen.getvalue(), what="a bar")
    assert "\x1b]" not in screen.getvalue()


def test_a_wheel(soon: None, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    with waiting("Making it"):
        wait_until(lambda: "Making it" in screen.getvalue(), what="a wheel")
    assert screen.getvalue().rfind("\x1b[?25h") > screen.getvalue().rfind("\x1b[?25l")  # the cursor is back


def test_nobody_looks(soon: None, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("name", 4) as bar, waiting("Making it"):
        bar.advance(4)
    assert capsys.readouterr().err == ""


def test_what_is_quick_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "_SHOWN_AFTER_S", 1000.0)
    with Progress("name", 4) as bar, waiting("Making it"):
        bar.advance(4)
    assert screen.getvalue() == ""
