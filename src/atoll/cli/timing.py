"""Times an action many times over and says honestly how it went: medians, 99th percentiles, failures.

A measurement never hides a failure: failed runs are counted beside the figures, and the figures are those of the
runs that succeeded. Times are wall-clock milliseconds seen by the client.
"""

import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Figures:
    """A row of times. ``p50_ms`` and ``p99_ms`` are ``None`` when nothing succeeded."""

    name: str
    at_once: int
    runs: int
    failures: int
    p50_ms: float | None
    p99_ms: float | None
    per_second: float


def measure(
    name: str,
    action: Callable[[], T],
    *,
    runs: int,
    at_once: int = 1,
    pause_s: float = 0.0,
    before: Callable[[], object] | None = None,
    after: Callable[[T], object] | None = None,
) -> Figures:
    """Run ``action`` ``runs`` times, ``at_once`` of them side by side; an exception is a counted failure.

    ``pause_s`` and ``before`` lie before each run and ``after``, which gets what the action gave, behind it: they are
    not part of its time, and ``per_second`` then says little. An error of ``after`` is a failure of the run, too.
    """
    times_ms: list[float] = []
    failures: list[str] = []
    lock = threading.Lock()

    def one(_: int) -> None:
        try:
            time.sleep(pause_s)
            if before is not None:
                before()
            started = time.perf_counter()
            given = action()
            elapsed_ms = (time.perf_counter() - started) * 1000
            if after is not None:
                after(given)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, it is a failure to be counted
            with lock:
                failures.append(repr(error))
            return
        with lock:
            times_ms.append(elapsed_ms)

    began = time.perf_counter()
    if at_once == 1:
        for number in range(runs):
            one(number)
    else:
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(one, range(runs)))
    return figures(name, times_ms, failures, at_once=at_once, took_s=time.perf_counter() - began)


def figures(
    name: str, times_ms: Sequence[float], failures: Sequence[str], *, at_once: int = 1, took_s: float
) -> Figures:
    """Make a row of what was timed; the first failures are printed."""
    for failure in failures[:3]:
        sys.stderr.write(f"  failed: {name}: {failure}\n")
    return Figures(
        name=name,
        at_once=at_once,
        runs=len(times_ms) + len(failures),
        failures=len(failures),
        p50_ms=percentile(times_ms, 50),
        p99_ms=percentile(times_ms, 99),
        per_second=round(len(times_ms) / took_s, 1),
    )


def percentile(values: Sequence[float], percent: int) -> float | None:
    """Give the nearest-rank percentile, rounded to a hundredth; ``None`` of nothing."""
    if not values:
        return None
    if percent == 50:
        return round(statistics.median(values), 2)
    ordered = sorted(values)
    rank = max(0, -(-len(ordered) * percent // 100) - 1)
    return round(ordered[rank], 2)
