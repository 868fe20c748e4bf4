"""Tables say what was found, who was not here and why, and nothing that was not measured."""

from typing import Any

import pytest

from benchmarks.comparison import (
    BEGIN,
    END,
    Standing,
    Times,
    facts_table,
    figures_table,
    inside_table,
    put_into,
    standings,
    told,
)
from tests.unit.benchmarks.fake_contender import FACTS

RESULT: dict[str, Any] = {
    "machine": {"name": "Two cores", "kernel": "6.1", "load_before": 0.1, "at": "2026-01-02T03:04:05+00:00"},
    "work": {"rounds": 20, "calls": 5, "alive": 8},
    "contenders": [
        {
            "name": "quick",
            "version": "1.2",
            "again": "the living Python",
            "inside": {
                "user_namespace": True,
                "seccomp": True,
                "capabilities": 0,
                "no_new_privileges": True,
                "interfaces": [],
                "processes": 3,
            },
            "memory_unsure_mb": 0.25,
        },
        {"name": "absent", "why_not": "no engine | answers"},
    ],
    "figures": [
        {"name": "quick: first output", "at_once": 1, "runs": 20, "failures": 1, "p50_ms": 10.04, "p99_ms": 30.0},
        {"name": "quick: a further call", "at_once": 1, "runs": 100, "failures": 0, "p50_ms": 2.0, "p99_ms": 3.0},
        {"name": "quick: memory for each", "value": 7.5, "unit": "MB", "runs": 8, "failures": 0},
    ],
    "ratios": {},
}


def test_a_result_is_read_by_contender() -> None:
    quick, absent = standings(RESULT)
    assert quick.first == Times(runs=20, failures=1, p50_ms=10.04, p99_ms=30.0)
    assert (quick.memory_mb, quick.memory_unsure_mb, quick.own_mb) == (7.5, 0.25, None)
    assert absent == Standing(name="absent", why_not="no engine | answers")


def test_memory_that_failed_is_no_memory() -> None:
    row = {"name": "quick: memory for each", "value": 0.0, "unit": "MB", "runs": 8, "failures": 1}
    assert standings({**RESULT, "figures": [row]})[0].memory_mb is None


def test_figures() -> None:
    _, _, quick, absent = figures_table(standings(RESULT)).splitlines()
    assert quick == "| **quick** (1.2) | 10.0 | 30.0 | 1 of 20 | 2.0 | 3.0 | 0 of 100 | 7.5 ± 0.2 | - |"
    assert absent == "| **absent** | not here: no engine / answers |  |  |  |  |  |  |  |"


def test_only_failures_have_no_times() -> None:
    failed = Standing(name="failed", first=Times(runs=3, failures=3, p50_ms=None, p99_ms=None))
    assert "| - | - | 3 of 3 |" in figures_table([failed])


def test_walls_are_told_of_those_that_were_seen() -> None:
    _, _, quick = inside_table(standings(RESULT)).splitlines()
    assert quick == "| **quick** | yes | yes | 0 | yes | none | 3 |"


def test_the_same_facts_stand_together() -> None:
    _, _, row = facts_table({"cold": FACTS, "warm": FACTS}).splitlines()
    assert row == "| **cold; warm** | w | n | m | s | f | e | more |"


def test_every_table_has_as_many_cells_as_its_head() -> None:
    text = told(RESULT, {"quick": FACTS, "absent": FACTS})
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 3
    for table in tables:
        assert len({line.count("|") for line in table}) == 1


def test_the_machine_is_named() -> None:
    text = told(RESULT, {"quick": FACTS, "absent": FACTS})
    assert text.startswith("Measured on Two cores, Linux 6.1, load before 0.1; 2026-01-02;")
    assert "A further call runs in the living Python (quick)." in text


def test_a_page_keeps_what_is_around() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nbehind\n"
    once = put_into(page, "new")
    assert once == f"before\n{BEGIN}\n\nnew\n\n{END}\nbehind\n"
    assert put_into(once, "new") == once


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="no place"):
        put_into("before", "new")
