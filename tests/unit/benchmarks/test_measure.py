"""Figures are those of the runs that succeeded, and no failure is hidden."""

import itertools
import threading

import pytest

from benchmarks.measure import figures, measure, measure_bursts, percentile


def test_percentiles() -> None:
    hundred = [float(number) for number in range(1, 101)]
    assert percentile(hundred, 50) == 50.5
    assert percentile(hundred, 99) == 99
    assert percentile([*hundred, 1000.0], 99) == 100
    assert percentile([7.0], 99) == 7
    assert percentile([], 99) is None


def test_failures_are_counted_beside_what_succeeded(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = itertools.count()

    def fails_every_second_time() -> None:
        if next(numbers) % 2:
            raise RuntimeError("no such luck")

    row = measure("luck", fails_every_second_time, runs=10)
    assert (row.runs, row.failures) == (10, 5)
    assert row.p50_ms is not None
    assert "no such luck" in capsys.readouterr().err


def test_only_failures_have_no_times() -> None:
    row = figures("nothing", [], ["one"], took_s=1.0)
    assert (row.runs, row.failures, row.p50_ms, row.p99_ms, row.per_second) == (1, 1, None, None, 0.0)


def test_what_is_around_a_run_is_called_each_time() -> None:
    seen: list[str] = []

    def action() -> int:
        seen.append("action")
        return len(seen)

    measure(
        "order",
        action,
        runs=2,
        before=lambda: seen.append("before"),
        after=lambda given: seen.append(f"after {given}"),
    )
    assert seen == ["before", "action", "after 2", "before", "action", "after 5"]


def test_an_error_behind_a_run_is_its_failure() -> None:
    def fail(_: object) -> None:
        raise RuntimeError("could not be deleted")

    assert measure("after", int, runs=3, after=fail).failures == 3


def test_a_burst_begins_at_once() -> None:
    together = threading.Barrier(8, timeout=10)
    behind: list[int] = []
    row = measure_bursts("together", together.wait, bursts=3, at_once=8, after=behind.append)
    assert (row.runs, row.failures, row.at_once) == (24, 0, 8)
    assert sorted(behind) == sorted([*range(8)] * 3)


def test_a_burst_counts_failures() -> None:
    numbers = itertools.count()

    def fail_once() -> None:
        if next(numbers) == 2:
            raise RuntimeError("one of them")

    assert measure_bursts("one fails", fail_once, bursts=2, at_once=4).failures == 1
