"""What a comparison found, and how it is told: Markdown tables. Pure; the plot is `benchmarks/plot.py`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.contenders.contender import Facts

FIRST = "first output"
CALL = "a further call"
MEMORY = "memory for each"
OWN = "memory of its own"

BEGIN = "<!-- What follows is written by benchmarks/compare.py; change it there. -->"
END = "<!-- Until here. -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Milliseconds of the runs that succeeded; ``None`` when none did."""

    runs: int
    failures: int
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one contender did. ``why_not`` is set, and nothing else, when it could not run on this machine.

    ``inside`` is what code in it saw of its walls; memory is in MB, ``own_mb`` that of what serves all its sandboxes.
    ``memory_unsure_mb`` is half of what the host's memory changed by itself meanwhile, for each.
    """

    name: str
    why_not: str | None = None
    version: str = ""
    again: str | None = None
    inside: Mapping[str, Any] | None = None
    first: Times | None = None
    call: Times | None = None
    memory_mb: float | None = None
    memory_unsure_mb: float | None = None
    own_mb: float | None = None


def standings(result: Mapping[str, Any]) -> list[Standing]:
    """Read the script's result file, decoded."""
    rows = {row["name"]: row for row in result["figures"]}

    def times(name: str) -> Times | None:
        row = rows.get(name)
        return row and Times(**{key: row[key] for key in ("runs", "failures", "p50_ms", "p99_ms")})

    def value(name: str) -> float | None:
        row = rows.get(name)
        return row["value"] if row and not row["failures"] else None

    return [
        Standing(
            **contender,
            first=times(f"{contender['name']}: {FIRST}"),
            call=times(f"{contender['name']}: {CALL}"),
            memory_mb=value(f"{contender['name']}: {MEMORY}"),
            own_mb=value(f"{contender['name']}: {OWN}"),
        )
        for contender in result["contenders"]
    ]


def machine_line(result: Mapping[str, Any]) -> str:
    """Name the machine, and when it was."""
    machine, work = result["machine"], result["work"]
    return (
        f"{machine['name']}, Linux {machine['kernel']}, load before {machine['load_before']}; {machine['at'][:10]}; "
        f"{work['rounds']} rounds, {work['calls']} further calls in each, {work['alive']} alive at once for memory"
    )


def figures_table(field: Sequence[Standing]) -> str:
    """Write the figures; who is not here says why in place of them."""
    head = (
        "",
        "first output, p50 ms",
        "p99 ms",
        "failed",
        "further call, p50 ms",
        "p99 ms",
        "failed",
        "memory for each, MB",
        "of its own, MB",
    )
    return _table(head, (_figures_row(standing) for standing in field))


def inside_table(field: Sequence[Standing]) -> str:
    """Write what the code saw of its walls."""
    head = ("", "user namespace", "seccomp filter", "capabilities", "no new privileges", "network", "processes seen")
    return _table(head, (_inside_row(standing.name, standing.inside) for standing in field if standing.inside))


def facts_table(facts: Mapping[str, Facts]) -> str:
    """Write what each one does and does not, here or not; those that are the same in this stand together."""
    head = (
        "",
        "walls",
        "network",
        "limit on memory",
        "lives between calls",
        "files",
        "expiry",
        "what Atoll has not",
    )
    together: dict[Facts, list[str]] = {}
    for name, one in facts.items():
        together.setdefault(one, []).append(name)
    return _table(
        head,
        (
            (
                f"**{'; '.join(names)}**",
                *(one.walls, one.network, one.memory_limit, one.state),
                one.files,
                one.expiry,
                one.more,
            )
            for one, names in together.items()
        ),
    )


def told(result: Mapping[str, Any], facts: Mapping[str, Facts]) -> str:
    """Write all of it, as it stands in the docs."""
    field = standings(result)
    return "\n".join(
        (
            f"Measured on {machine_line(result)}.",
            "",
            figures_table(field),
            "",
            f"A further call runs in {_calls(field)}. A p99 of fewer than 100 runs is the slowest of them.",
            "",
            "### What each does and does not",
            "",
            facts_table(facts),
            "",
            "### The walls as the code inside sees them",
            "",
            "Not all of them: code in runsc sees runsc's own kernel, and who has no `/proc` cannot tell.",
            "",
            inside_table(field),
        )
    )


def put_into(page: str, text: str) -> str:
    """Give a page with the text between its marks. Raises ``ValueError`` when it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no place for the comparison")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def _calls(field: Sequence[Standing]) -> str:
    places: dict[str, list[str]] = {}
    for standing in field:
        if standing.again:
            places.setdefault(standing.again, []).append(standing.name)
    return "; in ".join(f"{place} ({'; '.join(names)})" for place, names in places.items()) or "nothing"


def _figures_row(standing: Standing) -> tuple[str, ...]:
    if standing.why_not is not None:
        return (f"**{standing.name}**", f"not here: {standing.why_not}", *[""] * 7)
    return (
        f"**{standing.name}** ({standing.version})",
        *_times(standing.first),
        *_times(standing.call),
        _number(standing.memory_mb)
        + (f" ± {_number(standing.memory_unsure_mb)}" if standing.memory_unsure_mb is not None else ""),
        _number(standing.own_mb),
    )


def _times(times: Times | None) -> tuple[str, str, str]:
    if times is None:
        return "-", "-", "-"
    return _number(times.p50_ms), _number(times.p99_ms), f"{times.failures} of {times.runs}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _inside_row(name: str, inside: Mapping[str, Any]) -> tuple[str, ...]:
    def yes(key: str) -> str:
        return "-" if inside[key] is None else "yes" if inside[key] else "no"

    return (
        f"**{name}**",
        yes("user_namespace"),
        yes("seccomp"),
        str(inside["capabilities"]),
        yes("no_new_privileges"),
        ", ".join(inside["interfaces"]) or "none",
        "-" if inside["processes"] is None else str(inside["processes"]),
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
