"""A promise is kept when every one of its figures is, and no run failed."""

import pytest

from benchmarks.promises import Bound, p50, p99, ratio, value
from benchmarks.verdict import NoFigureError, judge, read
from tests.unit.benchmarks.results import RESULT, promise


@pytest.mark.parametrize(
    ("bound", "number", "is_reached"),
    [
        (p50("call", 2.5), 2.5, True),
        (p50("call", 2.4), 2.5, False),
        (p99("call", 9), 9.0, True),
        (p99("call", 100, at_once=50), 90, False),  # three runs failed
        (p50("nothing", 100), None, False),
        (value("memory", "at most", 7.5, "MB"), 7.5, True),
        (value("memory", "at most", 7.4, "MB"), 7.5, False),
        (value("memory", "at least", 7.5, "MB"), 7.5, True),
        (value("memory", "at least", 7.6, "MB"), 7.5, False),
        (ratio("call / health", "at most", 3), 3.0, True),
        (ratio("call / health", "at most", 2.9), 3.0, False),
        (ratio("nothing / health", "at most", 3), None, False),
    ],
)
def test_a_bound(bound: Bound, number: float | None, is_reached: bool) -> None:
    reading = read(bound, RESULT)
    assert (reading.number, reading.is_reached) == (number, is_reached)


@pytest.mark.parametrize(
    "bound",
    [p50("no such row", 1), p50("call", 1, at_once=2), p50("memory", 1), ratio("call / nothing", "at most", 1)],
)
def test_a_figure_that_is_not_there(bound: Bound) -> None:
    with pytest.raises(NoFigureError):
        read(bound, RESULT)


def test_all_bounds_must_hold() -> None:
    assert judge(promise(p50("call", 3), p99("call", 9)), RESULT).is_reached
    assert not judge(promise(p50("call", 3), p99("call", 8)), RESULT).is_reached
