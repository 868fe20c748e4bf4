"""Times an action many times over and says honestly how it went: medians, 99th percentiles, failures.

A measurement never hides a failure: failed runs are counted beside the figures, and the figures are those of the
runs that succeeded. Times are wall-clock milliseconds seen by the client.
"""

import json
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Figures:
    """One row of a result. ``p50_ms`` and ``p99_ms`` are ``None`` when nothing succeeded."""

    name: str
    at_once: int
    runs: int
    failures: int
    p50_ms: float | None
    p99_ms: float | None
    per_second: float


def measure(name: str, action: Callable[[], object], *, runs: int, at_once: int = 1, pause_s: float = 0.0) -> Figures:
    """Run ``action`` ``runs`` times, ``at_once`` of them side by side; an exception is a counted failure.

    ``pause_s`` lies before each run and is not part of its time; ``per_second`` then says little.
    """
    times_ms: list[float] = []
    failures: list[str] = []
    lock = threading.Lock()

    def one(_: int) -> None:
        time.sleep(pause_s)
        started = time.perf_counter()
        try:
            action()
        except Exception as error:  # noqa: BLE001 - whatever went wrong, it is a failure to be counted
            with lock:
                failures.append(repr(error))
            return
        elapsed_ms = (time.perf_counter() - started) * 1000
        with lock:
            times_ms.append(elapsed_ms)

    began = time.perf_counter()
    if at_once == 1:
        for number in range(runs):
            one(number)
    else:
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(one, range(runs)))
    took_s = time.perf_counter() - began
    for failure in failures[:3]:
        print(f"  failed: {failure}")
    return Figures(
        name=name,
        at_once=at_once,
        runs=runs,
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


def machine() -> dict[str, object]:
    """Describe the machine, as far as it explains a figure."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "name": f"{_cpu_model()}, {os.cpu_count()} cores, {memory_bytes >> 30} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def write_result(script: str, rows: Sequence[Figures], ratios: dict[str, float]) -> Path:
    """Print a table and write ``results/<script>.json``; give the file's path."""
    print(f"\n{'what':44} {'at once':>7} {'runs':>6} {'failed':>6} {'p50 ms':>9} {'p99 ms':>9} {'a second':>9}")
    for row in rows:
        p50 = "-" if row.p50_ms is None else f"{row.p50_ms:.2f}"
        p99 = "-" if row.p99_ms is None else f"{row.p99_ms:.2f}"
        print(f"{row.name:44} {row.at_once:>7} {row.runs:>6} {row.failures:>6} {p50:>9} {p99:>9} {row.per_second:>9}")
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.2f}")
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{script}.json"
    result = {
        "script": script,
        "machine": machine(),
        "figures": [asdict(row) for row in rows],
        "ratios": ratios,
    }
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"written: {path}")
    return path
