"""Holds a promise against what its script measured last; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from benchmarks.promises import Bound, Promise

BUSY_PERCENT: Final = 15

Result = Mapping[str, Any]
"""The content of a file in ``results``."""


class NoFigureError(Exception):
    """A result file has no such figure."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was measured for one bound. ``number`` is ``None`` when no run succeeded."""

    bound: Bound
    number: float | None
    runs: int
    failures: int

    @property
    def is_reached(self) -> bool:
        """Tell whether the bound holds and no run failed."""
        if self.number is None or self.failures:
            return False
        if self.bound.relation == "at most":
            return self.number <= self.bound.number
        return self.number >= self.bound.number


@dataclass(frozen=True, slots=True)
class Verdict:
    """A promise and all readings for it."""

    promise: Promise
    readings: tuple[Reading, ...]
    machine: Mapping[str, Any]

    @property
    def is_reached(self) -> bool:
        """Tell whether every bound holds."""
        return all(reading.is_reached for reading in self.readings)

    @property
    def is_of_a_busy_machine(self) -> bool:
        """Tell whether something else had a good part of the CPUs when the script began."""
        busy_percent: int = self.machine["busy_percent_before"]
        return busy_percent > BUSY_PERCENT

    @property
    def measured_at(self) -> datetime:
        """When it was measured."""
        return datetime.fromisoformat(self.machine["at"])


def judge(promise: Promise, result: Result) -> Verdict:
    """Look a promise's bounds up in its script's result. Raises ``NoFigureError``."""
    return Verdict(promise, tuple(read(bound, result) for bound in promise.bounds), result["machine"])


def read(bound: Bound, result: Result) -> Reading:
    """Find the number that a bound is about. Raises ``NoFigureError``."""
    if bound.field == "ratio":
        ratios = result.get("ratios", {})
        if bound.figure not in ratios:
            raise NoFigureError(f"{result['script']} has no ratio {bound.figure!r}")
        return Reading(bound, ratios[bound.figure], runs=1, failures=0)
    for row in result["figures"]:
        if row["name"] == bound.figure and row.get("at_once", 1) == bound.at_once and bound.field in row:
            return Reading(bound, row[bound.field], runs=row["runs"], failures=row["failures"])
    raise NoFigureError(f"{result['script']} has no {bound.field} of {bound.figure!r}, {bound.at_once} at once")
