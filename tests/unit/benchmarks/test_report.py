"""A result file says what was measured, on what, and whether all of it went well."""

import json
from pathlib import Path

from benchmarks.measure import Figures, Value
from benchmarks.report import Report

GOOD = Figures("quick", 1, 10, 0, 2.0, 3.0, 500.0)
BAD = Figures("slow", 4, 10, 1, 30.0, 40.0, 25.0)


def test_the_file(tmp_path: Path) -> None:
    report = Report("example", settings={"pool_max": 0}, folder=tmp_path / "results")
    report.add(GOOD, Value("memory", 3.5, "MB", runs=500))
    report.ratio("slow / quick", BAD, GOOD)
    assert report.write() == 0
    result = json.loads((tmp_path / "results/example.json").read_text())
    assert result["script"] == "example"
    assert result["settings"] == {"pool_max": 0}
    assert {"name", "kernel", "python", "load_before", "busy_percent_before", "at"} <= result["machine"].keys()
    assert result["figures"] == [
        {
            "name": "quick",
            "at_once": 1,
            "runs": 10,
            "failures": 0,
            "p50_ms": 2.0,
            "p99_ms": 3.0,
            "per_second": 500.0,
        },
        {"name": "memory", "value": 3.5, "unit": "MB", "runs": 500, "failures": 0},
    ]
    assert result["ratios"] == {"slow / quick": 15.0}


def test_any_failure_is_the_scripts(tmp_path: Path) -> None:
    report = Report("example", folder=tmp_path)
    report.add(GOOD, BAD)
    assert report.write() == 1


def test_a_ratio_of_nothing_reaches_no_bound_from_above(tmp_path: Path) -> None:
    report = Report("example", folder=tmp_path)
    report.ratio("nothing / quick", Figures("nothing", 1, 1, 1, None, None, 0.0), GOOD)
    report.write()
    assert json.loads((tmp_path / "example.json").read_text())["ratios"] == {"nothing / quick": None}
