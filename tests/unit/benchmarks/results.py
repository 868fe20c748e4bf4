"""A result file's content, and promises about it."""

from typing import Any

from benchmarks.promises import Bound, Promise

RESULT: dict[str, Any] = {
    "script": "example",
    "machine": {
        "name": "Some CPU, 2 cores, 8 GiB",
        "kernel": "6.1",
        "python": "3.11.2",
        "load_before": 0.1,
        "busy_percent_before": 2,
        "at": "2026-11-22T01:02:03+00:00",
    },
    "settings": {"pool_max": 0},
    "figures": [
        {"name": "call", "at_once": 1, "runs": 100, "failures": 0, "p50_ms": 2.5, "p99_ms": 9.0, "per_second": 390.0},
        {"name": "call", "at_once": 50, "runs": 100, "failures": 3, "p50_ms": 20, "p99_ms": 90, "per_second": 380},
        {"name": "nothing", "at_once": 1, "runs": 5, "failures": 5, "p50_ms": None, "p99_ms": None, "per_second": 0},
        {"name": "memory", "value": 7.5, "unit": "MB", "runs": 500, "failures": 0},
    ],
    "ratios": {"call / health": 3.0, "nothing / health": None},
}


def promise(*bounds: Bound, why: str | None = None) -> Promise:
    """Make a promise of the example script, that the README shows, too."""
    return Promise(text="It is quick", script="example", bounds=bounds, in_readme=True, why=why)
