"""Every promise about speed, room and memory that carries a number, with what measures it: the one list of them.

``SPECIFICATION.md`` and the README's table are rendered from here and from the result files; tests hold that each
promise has a script, and each of its figures a place in that script's result.
"""

from dataclasses import dataclass
from typing import Final, Literal

Field = Literal["p50_ms", "p99_ms", "per_second", "value", "ratio"]
Relation = Literal["at most", "at least"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What one number of a script's result must be.

    ``figure`` and ``at_once`` name the row; of a ratio, only ``figure`` does. No run of the row may have failed.
    """

    figure: str
    field: Field
    relation: Relation
    number: float
    unit: str
    at_once: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """``script`` is a module of this folder, and ``why`` the page that explains a figure that is not reached."""

    text: str
    script: str
    bounds: tuple[Bound, ...]
    in_readme: bool = False
    why: str | None = None


def p50(figure: str, ms: float, at_once: int = 1) -> Bound:
    """Bound a median from above."""
    return Bound(figure=figure, field="p50_ms", relation="at most", number=ms, unit="ms", at_once=at_once)


def p99(figure: str, ms: float, at_once: int = 1) -> Bound:
    """Bound a 99th percentile from above."""
    return Bound(figure=figure, field="p99_ms", relation="at most", number=ms, unit="ms", at_once=at_once)


def value(figure: str, relation: Relation, number: float, unit: str) -> Bound:
    """Bound a row that is one number."""
    return Bound(figure=figure, field="value", relation=relation, number=number, unit=unit)


def ratio(figure: str, relation: Relation, number: float) -> Bound:
    """Bound the ratio of two medians of one run."""
    return Bound(figure=figure, field="ratio", relation=relation, number=number, unit="times")


PROMISES: Final = (
    Promise(
        text="From asking for a container to the output of a first call that uses an imported pandas, one at a time, "
        "the pool full",
        script="first_output",
        bounds=(p50("create to first output, pool warm", 12), p99("create to first output, pool warm", 40)),
        in_readme=True,
        why="docs/decisions/zygote.md",
    ),
    Promise(
        text="The same, 50 at once",
        script="first_output",
        bounds=(p99("create to first output, pool warm, burst", 1500, at_once=50),),
        in_readme=True,
    ),
    Promise(
        text="The same without a pool, one at a time",
        script="first_output",
        bounds=(p50("create to first output, no pool", 80),),
        in_readme=True,
        why="docs/decisions/zygote.md",
    ),
    Promise(
        text='A fresh process of `python3 -c "import pandas"`, against the first of these in one run',
        script="first_output",
        bounds=(ratio("fresh process / create to first output, pool warm", "at least", 15),),
        in_readme=True,
    ),
    Promise(
        text="Python that computes `1+1` in a container that lives, also against `GET /health` in one run",
        script="calls",
        bounds=(p50("1+1 in a live container", 2), ratio("1+1 in a live container / GET /health", "at most", 4)),
        in_readme=True,
        why="docs/decisions/cheap-calls.md",
    ),
    Promise(
        text="A shell call that runs `true`",
        script="calls",
        bounds=(p50("shell_calls with true", 5),),
        in_readme=True,
        why="docs/decisions/cheap-calls.md",
    ),
    Promise(
        text="Containers made and deleted, for 60 seconds on end",
        script="churn",
        bounds=(
            Bound(
                figure="create and delete",
                field="per_second",
                relation="at least",
                number=25,
                unit="a second",
                at_once=4,
            ),
        ),
        in_readme=True,
        why="docs/decisions/slower-hours.md",
    ),
    Promise(
        text="What that leaves behind: processes, cgroups, loop devices, mounts, namespaces, files",
        script="churn",
        bounds=(value("left behind by create and delete", "at most", 0, "things"),),
    ),
    Promise(
        text="Memory for each of 500 containers that have all run pandas code, everything included, by what the host "
        "has left",
        script="density",
        bounds=(value("memory for each container", "at most", 8, "MB"),),
        in_readme=True,
    ),
    Promise(
        text="Ready after `atoll serve`, the image built: the first start in an empty folder, and every later one",
        script="start",
        bounds=(p50("first start to ready", 1500), p50("start to ready", 1500)),
        in_readme=True,
        why="docs/decisions/slower-hours.md",
    ),
    Promise(
        text="The pool full after `atoll serve`",
        script="start",
        bounds=(p50("start to full pool", 5000),),
    ),
    Promise(
        text="Memory of an idle server, supervisor, egress process, launcher and preloaded Python together",
        script="start",
        bounds=(value("idle memory of all processes", "at most", 300, "MB"),),
        in_readme=True,
    ),
    Promise(
        text="How far a container's `last_active_at` goes backwards when the server is killed",
        script="last_active",
        bounds=(value("last_active_at goes backwards by a kill -9, at most", "at most", 1, "s"),),
    ),
    Promise(
        text="A page of 100 of 1,000,000 containers, anywhere in it, with and without `name`, also against the same "
        "of 1,000 in one run",
        script="listing",
        bounds=(
            value("many containers", "at least", 1_000_000, "rows"),
            p50("page of 100 of many containers", 5),
            p50("page of 100 of many containers, by name", 5),
            ratio("page of 100 of many containers / page of 100 of few containers", "at most", 1.5),
            ratio("page of 100 of many containers, by name / page of 100 of few containers, by name", "at most", 1.5),
        ),
        in_readme=True,
    ),
    Promise(
        text="512 MiB in and out, against the same bytes copied to and from a file by a plain server of the same "
        "framework in one run",
        script="bytes",
        bounds=(
            value("size of the file", "at least", 512, "MiB"),
            ratio("plain server: a body into a file / upload to /v1/files", "at least", 0.5),
            ratio("plain server: a body into a file / upload into a container", "at least", 0.5),
            ratio("plain server: a file into an answer / download from /v1/files", "at least", 0.5),
            ratio("plain server: a file into an answer / download from a container", "at least", 0.5),
        ),
        in_readme=True,
    ),
    Promise(
        text="How much any process grows over that, ranges and parallel downloads included",
        script="bytes",
        bounds=(value("growth of the process that grew most", "at most", 64, "MB"),),
    ),
    Promise(
        text="Containers alive at once on this machine, each with a live Python",
        script="alive",
        bounds=(value("containers alive at once", "at least", 1000, "containers"),),
        in_readme=True,
    ),
    Promise(
        text="What those leave behind when they are deleted: processes, cgroups, loop devices, mounts, namespaces, "
        "files",
        script="alive",
        bounds=(value("left behind by all of them", "at most", 0, "things"),),
    ),
    Promise(
        text="200 calls in flight that only wait, each in another container, until the last has ended, against one "
        "such call",
        script="alive",
        bounds=(
            value("calls in flight", "at least", 200, "calls"),
            ratio("many calls that wait 2 s, until the last has ended / a call that waits 2 s", "at most", 1.5),
        ),
    ),
    Promise(
        text="A connection through a network policy, from connecting to the first bytes of an answer over TLS, more "
        "than a direct one in one run; also when TLS is ended for a domain's secrets",
        script="egress",
        bounds=(
            value("a connection's extra time, p50", "at most", 3, "ms"),
            value("a connection's extra time, TLS ended, p50", "at most", 15, "ms"),
        ),
        in_readme=True,
        why="docs/decisions/network.md",
    ),
    Promise(
        text="Downloads of 1 GiB through a network policy, against direct ones in one run: one and eight at once, "
        "without TLS and with it",
        script="egress",
        bounds=(
            value("size of a download", "at least", 1024, "MiB"),
            ratio("http download, 1 at once: direct / through a policy", "at least", 0.5),
            ratio("http download, 8 at once: direct / through a policy", "at least", 0.5),
            ratio("https download, 1 at once: direct / through a policy", "at least", 0.5),
            ratio("https download, 8 at once: direct / through a policy", "at least", 0.5),
        ),
        in_readme=True,
        why="docs/decisions/network.md",
    ),
    Promise(
        text="Memory of the egress process for each idle container with a policy and a secret, before and "
        "after each has used it",
        script="egress",
        bounds=(
            value("memory of the egress process for an idle container", "at most", 100, "KB"),
            value("memory of the egress process for an idle container that has used a secret", "at most", 100, "KB"),
        ),
    ),
    Promise(
        text="A container with a policy, more than one without, the pool full; also with a secret",
        script="egress",
        bounds=(
            value("a create's extra time, p50", "at most", 5, "ms"),
            value("a create's extra time, with a secret, p50", "at most", 5, "ms"),
        ),
    ),
    Promise(
        text="200 terminals and 500 streams of events open at once, 100 of these never read: what server and "
        "supervisor grow by, and `1+1` in a container that 400 of them watch, against the same with nobody connected "
        "in one run",
        script="watchers",
        bounds=(
            value("terminals open", "at least", 200, "terminals"),
            value("event streams open", "at least", 500, "streams"),
            value("growth of server and supervisor", "at most", 200, "MB"),
            ratio("1+1, all connected / 1+1, nobody connected", "at most", 2),
        ),
    ),
)
