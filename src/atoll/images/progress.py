"""How far a build or import is, as a value that whoever watches can draw."""

from collections.abc import Callable
from dataclasses import dataclass

Report = Callable[["Progress"], None]


@dataclass(frozen=True, slots=True)
class Progress:
    """``fraction`` (0..1) is of the whole work and never falls; ``step`` names what is done now, ``detail`` on what."""

    step: str
    fraction: float
    detail: str = ""


class Stage:
    """One stage's share of the whole: turns ``done`` of ``total`` within it into a fraction of everything."""

    def __init__(self, report: Report, step: str, *, start: float, end: float) -> None:
        self._report = report
        self._step = step
        self._start = start
        self._end = end
        self._reached = start
        self._detail = ""

    def at(self, done: float, total: float, detail: str = "") -> None:
        """Say how far the stage is; going back is not shown, nor is what changes nothing that a person can see."""
        part = min(1.0, done / total) if total > 0 else 0.0
        fraction = self._start + (self._end - self._start) * part
        if fraction - self._reached < 0.001 and detail == self._detail:
            return
        self._reached = max(self._reached, fraction)
        self._detail = detail
        self._report(Progress(self._step, self._reached, detail))
