"""Draws a comparison: time to the first output and memory for each sandbox, side by side, as SVG."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.comparison import Standing

_OURS, _THEIRS, _PALE = "#0b6e99", "#7a7a7a", "#c9c9c9"
# Text stays text, and the same figures give the same bytes: no date, no random ids.
_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "atoll", "font.family": "sans-serif", "font.size": 9}


def draw(field: Sequence[Standing], machine: str, path: Path) -> None:
    """Write ``path``; the first of the field is on top. Who is not here is named below, and has no bar."""
    here = [standing for standing in reversed(field) if standing.why_not is None]
    absent = [standing.name for standing in field if standing.why_not is not None]
    with rc_context(_STYLE):
        figure = Figure(figsize=(10, 1.4 + 0.42 * max(len(here), 1)), layout="constrained")
        times, memory = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        _draw_times(times, here)
        _draw_memory(memory, here)
        figure.suptitle("An isolated Python and its first output that uses pandas", fontweight="bold")
        figure.supxlabel(machine + (f"\nnot here: {'; '.join(absent)}" if absent else ""), fontsize=7, color="#555555")
        figure.savefig(path, metadata={"Date": None})


def _draw_times(axes: Axes, here: Sequence[Standing]) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_title("milliseconds, logarithmic: p50 (dot) to p99 (line's end)", fontsize=9)
    for place, standing in enumerate(here):
        times = standing.first
        if times is None or times.p50_ms is None or times.p99_ms is None:
            continue
        color = _color(standing)
        axes.plot((times.p50_ms, times.p99_ms), (place, place), color=color, linewidth=2, solid_capstyle="butt")
        axes.plot(times.p99_ms, place, marker="|", color=color, markersize=9, markeredgewidth=2)
        axes.plot(times.p50_ms, place, marker="o", color=color, markersize=7)
        axes.annotate(
            f"{times.p50_ms:.0f}", (times.p50_ms, place), (0, 7), textcoords="offset points", ha="center", fontsize=8
        )
    axes.set_yticks(range(len(here)), [standing.name for standing in here])
    axes.set_ylim(-0.6, max(len(here), 1) - 0.2)
    axes.grid(axis="x", color=_PALE, linewidth=0.5)
    axes.set_axisbelow(True)
    _bare(axes)


def _draw_memory(axes: Axes, here: Sequence[Standing]) -> None:
    axes.set_title("MB for each one that lives", fontsize=9)
    measured = [(place, standing) for place, standing in enumerate(here) if standing.memory_mb is not None]
    bars = axes.barh(
        [place for place, _ in measured],
        [max(standing.memory_mb or 0.0, 0.0) for _, standing in measured],
        color=[_color(standing) for _, standing in measured],
        height=0.5,
    )
    axes.bar_label(bars, [f"{standing.memory_mb:.0f}" for _, standing in measured], padding=3, fontsize=8)
    axes.margins(x=0.15)
    _bare(axes)


def _color(standing: Standing) -> str:
    return _OURS if standing.name.startswith("Atoll") else _THEIRS


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=0)
