"""The pages say what was promised and what was measured, a failure as plainly as a success."""

import pytest

from benchmarks.promises import p50, p99, ratio, value
from benchmarks.specification import BEGIN, END, measured, outcome, promised, readme_table, with_table
from benchmarks.verdict import judge
from tests.unit.benchmarks.results import RESULT, promise


def test_what_is_kept() -> None:
    verdict = judge(promise(p50("call", 3), p99("call", 10), ratio("call / health", "at most", 4)), RESULT)
    assert promised(verdict.promise) == "p50 ≤ 3 ms, p99 ≤ 10 ms, ≤ 4 times"
    assert measured(verdict) == "p50 2.5 ms, p99 9 ms, 3 times"
    assert outcome(verdict) == "reached"


def test_what_is_not_kept_says_why() -> None:
    verdict = judge(promise(value("memory", "at most", 7, "MB"), why="docs/decisions/pool.md"), RESULT)
    assert measured(verdict) == "7.5 MB"
    assert outcome(verdict) == "**not reached**: [why](docs/decisions/pool.md)"


def test_failures_are_told() -> None:
    verdict = judge(promise(p50("call", 100, at_once=50), p99("call", 100, at_once=50)), RESULT)
    assert measured(verdict) == "p50 20 ms, p99 90 ms; 3 of 100 failed"
    assert outcome(verdict) == "**not reached**"


def test_a_busy_machine_is_told() -> None:
    busy = {**RESULT, "machine": {**RESULT["machine"], "busy_percent_before": 60}}
    missed, kept = judge(promise(p50("call", 1)), busy), judge(promise(p50("call", 3)), busy)
    assert outcome(missed) == "**not reached**, on a busy machine"
    assert outcome(kept) == "reached"
    assert "2026-11-22, while the machine was busy with other work, too.\n" in readme_table([kept])


def test_nothing_measured() -> None:
    assert measured(judge(promise(p50("nothing", 1)), RESULT)) == "p50 nothing; 5 of 5 failed"


def test_the_readme_has_the_same_figures_and_names_the_machine() -> None:
    table = readme_table([judge(promise(p50("call", 2)), RESULT)])
    assert "| It is quick | p50 ≤ 2 ms | p50 2.5 ms, **not reached** |\n" in table
    assert "Measured on Some CPU, 2 cores, 8 GiB, Linux 6.1; 2026-11-22.\n" in table


def test_the_table_stands_between_its_marks() -> None:
    page = f"before\n{BEGIN}old\n{END}after\n"
    assert with_table(page, "new\n") == f"before\n{BEGIN}new\n{END}after\n"
    for broken in ("before\n", f"{BEGIN}old\n", f"{BEGIN}{END}{BEGIN}{END}"):
        with pytest.raises(ValueError, match="marks"):
            with_table(broken, "new\n")
