"""Renders ``SPECIFICATION.md`` and the README's table from the promises and the newest results.

    python -m benchmarks.specification

To be run after any script has written a result; a test fails while a page says something else than the results do.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.promises import PROMISES, Bound, Promise
from benchmarks.report import RESULTS
from benchmarks.verdict import Reading, Result, Verdict, judge

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "SPECIFICATION.md"
README: Final = ROOT / "README.md"
BEGIN: Final = "<!-- written by python -m benchmarks.specification -->\n"
END: Final = "<!-- end -->\n"

_HEAD: Final = """\
# Specification

What Atoll promises in numbers, what measures each promise, and what the newest measurement found. This page is written
by `python -m benchmarks.specification` from [`benchmarks/promises.py`](benchmarks/promises.py) and the files in
[`benchmarks/results`](benchmarks/results); a test fails when they disagree.

Everything is measured through HTTP, client and server together on one machine with 2 cores. Failed runs are counted,
and a figure with one failed run is not reached. `scripts/bench` measures all of it anew, on a machine that does nothing
else meanwhile.
"""


def main() -> None:
    """Write both pages."""
    verdicts = newest_verdicts()
    PAGE.write_text(specification_page(verdicts), encoding="utf-8")
    README.write_text(with_table(README.read_text(encoding="utf-8"), readme_table(verdicts)), encoding="utf-8")
    for verdict in verdicts:
        if not verdict.is_reached:
            print(f"not reached: {verdict.promise.text}: {measured(verdict)}")


def newest_verdicts(promises: Iterable[Promise] = PROMISES, folder: Path = RESULTS) -> list[Verdict]:
    """Hold every promise against its script's newest result. Raises ``FileNotFoundError``, ``NoFigureError``."""
    return [judge(promise, read_result(promise.script, folder)) for promise in promises]


def read_result(script: str, folder: Path = RESULTS) -> Result:
    """Give what a script measured last. Raises ``FileNotFoundError`` when it never did."""
    result: Result = json.loads((folder / f"{script}.json").read_text(encoding="utf-8"))
    return result


def specification_page(verdicts: Sequence[Verdict]) -> str:
    """Give ``SPECIFICATION.md``."""
    reached = sum(verdict.is_reached for verdict in verdicts)
    parts = [
        _HEAD,
        f"\n{reached} of {len(verdicts)} are reached.\n\n",
        "| promise | figure | newest result | | measured by |\n|---|---|---|---|---|\n",
        *(
            f"| {verdict.promise.text} | {promised(verdict.promise)} | {measured(verdict)} | {outcome(verdict)} "
            f"| {source(verdict)} |\n"
            for verdict in verdicts
        ),
        "\n## Measured on\n\n",
        "| script | when (UTC) | CPUs busy before | machine | kernel | settings besides the defaults |\n",
        "|---|---|---|---|---|---|\n",
    ]
    scripts = dict.fromkeys(verdict.promise.script for verdict in verdicts)
    return "".join([*parts, *(_machine_line(script, read_result(script)) for script in scripts)])


def readme_table(verdicts: Iterable[Verdict]) -> str:
    """Give the README's table: the promises that a newcomer asks about, and on what they were measured."""
    shown = [verdict for verdict in verdicts if verdict.promise.in_readme]
    lines = [
        f"| {verdict.promise.text} | {promised(verdict.promise)} "
        f"| {measured(verdict)}{'' if verdict.is_reached else ', **not reached**'} |\n"
        for verdict in shown
    ]
    machines = {f"{verdict.machine['name']}, Linux {verdict.machine['kernel']}" for verdict in shown}
    days = sorted({verdict.measured_at.date().isoformat() for verdict in shown})
    return "".join(
        [
            "| | promised | measured |\n|---|---|---|\n",
            *lines,
            f"\nMeasured on {'; '.join(sorted(machines))}; {' to '.join(dict.fromkeys([days[0], days[-1]]))}",
            ", while the machine was busy with other work, too" if any(v.is_of_a_busy_machine for v in shown) else "",
            ".\n",
        ]
    )


def with_table(page: str, table: str) -> str:
    """Put the table into a page between its marks. Raises ``ValueError`` when they are not there once."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after:
        raise ValueError("the README has lost the marks of its table")
    return f"{before}{begin}{table}{end}{after}"


def promised(promise: Promise) -> str:
    """Write a promise's figures."""
    return ", ".join(f"{_kind(bound)}{_sign(bound)} {_number(bound.number)} {bound.unit}" for bound in promise.bounds)


def measured(verdict: Verdict) -> str:
    """Write what was measured, failures included."""
    numbers = ", ".join(f"{_kind(reading.bound)}{_measured_number(reading)}" for reading in verdict.readings)
    failures = [f"{reading.failures} of {reading.runs} failed" for reading in verdict.readings if reading.failures]
    return "; ".join([numbers, *dict.fromkeys(failures)])


def outcome(verdict: Verdict) -> str:
    """Say plainly whether a promise is kept."""
    if verdict.is_reached:
        return "reached"
    why = verdict.promise.why
    reason = f": [why]({why})" if why else ""
    return f"**not reached**{reason}{', on a busy machine' if verdict.is_of_a_busy_machine else ''}"


def source(verdict: Verdict) -> str:
    """Link the script and its result."""
    script = verdict.promise.script
    return f"[{script}.py](benchmarks/{script}.py), [result](benchmarks/results/{script}.json)"


def _machine_line(script: str, result: Result) -> str:
    machine = result["machine"]
    settings = ", ".join(f"`{name} = {value}`" for name, value in result.get("settings", {}).items())
    when = machine["at"].replace("T", " ").removesuffix("+00:00")
    busy = f"{machine['busy_percent_before']} %"
    return f"| {script} | {when} | {busy} | {machine['name']} | {machine['kernel']} | {settings} |\n"


def _kind(bound: Bound) -> str:
    return {"p50_ms": "p50 ", "p99_ms": "p99 "}.get(bound.field, "")


def _sign(bound: Bound) -> str:
    return "≤" if bound.relation == "at most" else "≥"


def _measured_number(reading: Reading) -> str:
    return "nothing" if reading.number is None else f"{_number(reading.number)} {reading.bound.unit}"


def _number(number: float) -> str:
    return f"{number:,.0f}" if number >= 10_000 else f"{number:.4g}"


if __name__ == "__main__":
    main()
