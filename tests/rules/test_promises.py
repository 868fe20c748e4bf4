"""Every promise has a script that measures it, and the pages say what was measured last."""

import ast

import pytest

from benchmarks import specification
from benchmarks.promises import PROMISES, Promise
from benchmarks.specification import BEGIN, PAGE, README, ROOT, newest_verdicts, readme_table, specification_page
from benchmarks.verdict import judge

NAMES = [promise.text[:60] for promise in PROMISES]
STALE = "run `python -m benchmarks.specification`"


@pytest.mark.parametrize("promise", PROMISES, ids=NAMES)
def test_a_promise_has_a_script(promise: Promise) -> None:
    script = ROOT / f"benchmarks/{promise.script}.py"
    assert script.is_file()
    text = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    assert f"python -m benchmarks.{promise.script}" in text, "the script says how it is run"


@pytest.mark.parametrize("promise", PROMISES, ids=NAMES)
def test_a_promise_has_figures_that_its_script_writes(promise: Promise) -> None:
    """``tests/integration/test_benchmarks.py`` holds the same of a run made now."""
    verdict = judge(promise, specification.read_result(promise.script))
    assert verdict.readings
    explained = verdict.is_reached or promise.why is not None or verdict.is_of_a_busy_machine
    assert explained, "a figure that is not reached is explained on a page"


def test_explanations_are_there() -> None:
    pages = [promise.why for promise in PROMISES if promise.why is not None]
    assert [page for page in pages if not (ROOT / page).is_file()] == []


def test_the_specification_is_what_was_measured() -> None:
    assert PAGE.read_text(encoding="utf-8") == specification_page(newest_verdicts()), STALE


def test_the_readme_is_what_was_measured() -> None:
    readme = README.read_text(encoding="utf-8")
    assert specification.with_table(readme, readme_table(newest_verdicts())) == readme, STALE
    assert "](SPECIFICATION.md)" in readme.partition(BEGIN)[0]
