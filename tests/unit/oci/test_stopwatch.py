"""Counting durations."""

from contextlib import suppress

from atoll.model.runtime_metrics import DURATION_BOUNDS_S
from atoll.runtime.oci.stopwatch import Stopwatch


def test_each_duration_is_in_the_least_bucket_that_holds_it() -> None:
    stopwatch = Stopwatch()
    for seconds in (0.0, 0.001, 0.0011, 30, 31):
        stopwatch.count(seconds)
    durations = stopwatch.durations()
    assert len(durations.counts) == len(DURATION_BOUNDS_S) + 1
    assert durations.counts[:2] == (2, 1)
    assert durations.counts[-2:] == (1, 1)
    assert sum(durations.counts) == 5
    assert durations.sum_s == 61.0021


def test_what_fails_is_not_counted() -> None:
    times = iter([10.0, 10.5, 20.0])
    stopwatch = Stopwatch(lambda: next(times))
    with stopwatch.running():
        pass
    with suppress(ValueError), stopwatch.running():
        raise ValueError
    assert (sum(stopwatch.durations().counts), stopwatch.durations().sum_s) == (1, 0.5)
