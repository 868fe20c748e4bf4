"""A plot is made of whatever was measured, and is the same when the figures are."""

from pathlib import Path
from xml.etree import ElementTree as ET

from benchmarks.comparison import Standing, Times
from benchmarks.plot import draw

FIELD = [
    Standing(name="Atoll, pool warm", first=Times(runs=9, failures=0, p50_ms=10.0, p99_ms=20.0), memory_mb=7.0),
    Standing(name="without memory", first=Times(runs=9, failures=0, p50_ms=400.0, p99_ms=700.0)),
    Standing(name="only failures", first=Times(runs=9, failures=9, p50_ms=None, p99_ms=None), memory_mb=-1.0),
    Standing(name="Docker", why_not="no engine answers"),
]


def test_all_are_named_and_who_is_not_here_has_no_bar(tmp_path: Path) -> None:
    draw(FIELD, "two cores", tmp_path / "plot.svg")
    text = "\n".join(ET.parse(tmp_path / "plot.svg").getroot().itertext())  # noqa: S314 - our own
    for expected in ("Atoll, pool warm", "without memory", "only failures", "two cores", "not here: Docker", "400"):
        assert expected in text


def test_the_same_figures_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        draw(FIELD, "two cores", tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_nobody_here_is_an_empty_plot(tmp_path: Path) -> None:
    draw([Standing(name="Docker", why_not="no engine answers")], "two cores", tmp_path / "plot.svg")
    assert (tmp_path / "plot.svg").stat().st_size > 0
