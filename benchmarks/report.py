"""What a script writes: ``results/<script>.json``, with the machine in it, and a table for whoever looks on."""

import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measure import Figures, Row, Value

RESULTS = Path(__file__).parent / "results"


class Report:
    """One run of one script. Made before anything is measured, so that it knows the load that was there before.

    ``settings`` are those of the servers that differ from a plain ``atoll serve`` and that a figure depends on.
    """

    def __init__(self, script: str, *, settings: Mapping[str, object] | None = None, folder: Path = RESULTS) -> None:
        self._script = script
        self._settings = dict(settings or {})
        self._path = folder / f"{script}.json"
        self._machine = machine()
        self._rows: list[Row] = []
        self._ratios: dict[str, float | None] = {}
        self._more: dict[str, object] = {}

    @property
    def path(self) -> Path:
        """The file that is written."""
        return self._path

    def tell(self, name: str, value: object) -> None:
        """Take what else belongs into the file, under a key of its own."""
        self._more[name] = value

    def add(self, *rows: Row) -> None:
        """Take rows, and show them."""
        for row in rows:
            self._rows.append(row)
            print(line(row), flush=True)

    def ratio(self, name: str, above: Figures, below: Figures) -> None:
        """Hold the medians of one run against each other: this survives a noisy machine. ``None`` of nothing."""
        self._ratios[name] = round(above.p50_ms / below.p50_ms, 2) if above.p50_ms and below.p50_ms else None
        print(f"{name}: {self._ratios[name]}", flush=True)

    def write(self) -> int:
        """Write the file; give the script's exit code: 1 when any run failed, for all figures are of the others."""
        content = {
            "script": self._script,
            "machine": self._machine,
            **({"settings": self._settings} if self._settings else {}),
            **self._more,
            "figures": [asdict(row) for row in self._rows],
            "ratios": self._ratios,
        }
        self._path.parent.mkdir(exist_ok=True)
        self._path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        print(f"written: {self._path}")
        return 1 if any(row.failures for row in self._rows) else 0


def machine() -> dict[str, object]:
    """Describe the machine, as far as it explains a figure.

    The load is that of the last minute, which may have been ours; how busy the CPUs are is looked at for a second now.
    """
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "name": f"{_cpu_model()}, {os.cpu_count()} cores, {memory_bytes >> 30} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        "busy_percent_before": _busy_percent(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _busy_percent(look_s: float = 1.0) -> int:
    """Give the share of all CPUs' time that something used."""
    before, idle_before = _cpu_ticks()
    time.sleep(look_s)
    after, idle_after = _cpu_ticks()
    return round(100 * (1 - (idle_after - idle_before) / max(after - before, 1)))


def _cpu_ticks(stat: Path = Path("/proc/stat")) -> tuple[int, int]:
    """Give the ticks of all CPUs so far, and those of them in which there was nothing to do."""
    ticks = [int(word) for word in stat.read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    return sum(ticks), ticks[3] + ticks[4]


def line(row: Row) -> str:
    """Write a row as a line of the table."""
    counts = f"{row.runs:>6} runs {row.failures:>4} failed"
    if isinstance(row, Value):
        return f"{row.name:58} {'':>4} {counts} {row.value:>10g} {row.unit}"
    p50, p99 = ("-" if value is None else f"{value:.2f}" for value in (row.p50_ms, row.p99_ms))
    return f"{row.name:58} x{row.at_once:<3} {counts} {p50:>10} ms p50 {p99:>9} ms p99 {row.per_second:>8} a second"


def _cpu_model() -> str:
    for text in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if text.startswith("model name"):
            return text.partition(":")[2].strip()
    return platform.machine()
