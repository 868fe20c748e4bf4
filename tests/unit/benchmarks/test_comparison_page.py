"""The docs show the newest comparison: whoever measures again or changes a fact writes both."""

import json

from benchmarks.compare import PAGE, SCRIPT, facts_of
from benchmarks.comparison import put_into, told
from benchmarks.report import RESULTS

RESULT = json.loads((RESULTS / f"{SCRIPT}.json").read_text(encoding="utf-8"))
AGAIN = "run `python -m benchmarks.compare --render`"


def test_the_page_is_that_of_the_newest_result() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == put_into(page, told(RESULT, facts_of(RESULT))), AGAIN


def test_so_is_the_file_with_the_tables() -> None:
    tables = (RESULTS / f"{SCRIPT}.md").read_text(encoding="utf-8")
    assert tables == told(RESULT, facts_of(RESULT)) + "\n", AGAIN


def test_the_page_shows_the_plot_of_that_machine() -> None:
    assert "benchmarks/results/compare.svg" in PAGE.read_text(encoding="utf-8")
    assert RESULT["machine"]["name"] in (RESULTS / f"{SCRIPT}.svg").read_text(encoding="utf-8"), AGAIN
