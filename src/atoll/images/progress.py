"""How far a build or import is, as a value that whoever watches can draw."""

from collections.abc import Callable
from dataclasses import dataclass, replace

Report = Callable[["Progress"], None]


@dataclass(frozen=True, slots=True)
class Progress:
    """``fraction`` (0..1) is of the whole work and never falls; ``step`` names what is done now, ``detail`` on what."""

    step: str
    fraction: float
    detail: str = ""


def steady(report: Report) -> Report:
    """Give a ``Report`` whose fraction never falls, whatever the tools that are watched say."""
    reached = 0.0

    def forward(progress: Progress) -> None:
        nonlocal reached
        reached = max(reached, progress.fraction)
        report(replace(progress, fraction=reached))

    return forward


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
        least = 0.001 if part < 1.0 else 0.0
        if fraction - self._reached <= least and detail == self._detail:
            return
        self._reached = max(self._reached, fraction)
        self._detail = detail
        self._report(Progress(self._step, self._reached, detail))
