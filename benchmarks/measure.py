"""More ways to measure than `atoll bench` has use for: bursts, several actions in turn, rows that are one number."""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from atoll.cli.timing import Figures, figures, measure, percentile

__all__ = ["Figures", "Row", "Value", "figures", "measure", "measure_bursts", "measure_in_turn", "percentile"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Value:
    """A row that is one number: memory, a rate, a count."""

    name: str
    value: float
    unit: str
    runs: int = 1
    failures: int = 0


Row = Figures | Value


def measure_bursts(
    name: str,
    action: Callable[[], T],
    *,
    bursts: int,
    at_once: int,
    before: Callable[[], object] | None = None,
    after: Callable[[T], object] | None = None,
) -> Figures:
    """Run ``action`` ``at_once`` times, all begun at the same moment; again ``bursts`` times.

    ``before`` comes before each burst and ``after``, for each run that succeeded, behind its burst; neither is timed.
    ``per_second`` counts the time of the bursts alone.
    """
    times_ms: list[float] = []
    failures: list[str] = []
    took_s = 0.0

    def one(start: threading.Barrier) -> tuple[float, T] | str:
        try:
            start.wait()
            started = time.perf_counter()
            given = action()
            return (time.perf_counter() - started) * 1000, given
        except Exception as error:  # noqa: BLE001 - whatever went wrong, it is a failure to be counted
            return repr(error)

    with ThreadPoolExecutor(at_once) as pool:
        for _ in range(bursts):
            if before is not None:
                before()
            start = threading.Barrier(at_once)
            began = time.perf_counter()
            ended = list(pool.map(one, [start] * at_once))
            took_s += time.perf_counter() - began
            for run in ended:
                if isinstance(run, str):
                    failures.append(run)
                    continue
                times_ms.append(run[0])
                if after is not None:
                    after(run[1])
    return figures(name, times_ms, failures, at_once=at_once, took_s=took_s)


def measure_in_turn(
    actions: Mapping[str, Callable[[], object]], *, runs: int, before: Callable[[], object] | None = None
) -> dict[str, Figures]:
    """Run each action once, then each once more, ``runs`` times, so that a noisy machine meets all of them alike.

    ``before`` comes before each run and is not timed. Gives each action's row by its name.
    """
    times_ms: dict[str, list[float]] = {name: [] for name in actions}
    failures: dict[str, list[str]] = {name: [] for name in actions}
    for _ in range(runs):
        for name, action in actions.items():
            if before is not None:
                before()
            started = time.perf_counter()
            try:
                action()
            except Exception as error:  # noqa: BLE001 - whatever went wrong, it is a failure to be counted
                failures[name].append(repr(error))
            else:
                times_ms[name].append((time.perf_counter() - started) * 1000)
    return {
        name: figures(name, times_ms[name], failures[name], took_s=max(sum(times_ms[name]) / 1000, 1e-9))
        for name in actions
    }
