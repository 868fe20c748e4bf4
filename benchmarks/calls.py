"""Measures what a living container is asked all day, against the cheapest answer that the server has.

    python -m benchmarks.calls

``GET /health`` (which asks nobody), ``1+1`` and a shell's ``true`` in a container that lives already, a look at it and
a page of the list: over one kept-alive connection one at a time, and 16 at once, each in a container of its own. Needs
root and the default image.
"""

import itertools
import sys
from collections.abc import Callable

from benchmarks.arguments import arguments
from benchmarks.client import BenchmarkClient
from benchmarks.measure import Figures, measure
from benchmarks.report import Report
from benchmarks.server import client_of, running_server

AT_ONCE = 16
MORE = 4  # containers that only lie there
WARM_UP = 20  # at most; what happens once in a connection's or a container's life is not what this is about
SETTINGS = {"memory_overcommit": 10}  # so that 20 containers of 1 GiB may be there at once


def main() -> None:
    """Measure and write ``results/calls.json``."""
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=500, help="of each row")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="clients at once (default: %(default)s)")
    options = parser.parse_args()
    report = Report("calls", settings=SETTINGS, folder=options.results)
    with running_server(**SETTINGS) as server:
        client = client_of(server)
        containers = [client.create() for _ in range(options.at_once + MORE)]
        for container_id in containers:
            client.python(container_id, "1+1", expect="2\n")
        one_at_a_time(report, client, containers[0], options.runs)
        at_once(report, client, containers[: options.at_once], options.runs)
        for container_id in containers:
            client.delete(container_id)
    sys.exit(report.write())


def one_at_a_time(report: Report, client: BenchmarkClient, container_id: str, runs: int) -> None:
    """Measure one request after the other."""

    def row(name: str, action: Callable[[], object]) -> Figures:
        for _ in range(min(WARM_UP, runs)):
            action()
        figures = measure(name, action, runs=runs)
        report.add(figures)
        return figures

    health = row("GET /health", client.health)
    python = row("1+1 in a live container", lambda: client.python(container_id, "1+1", expect="2\n"))
    row("shell_calls with true", lambda: client.shell(container_id, "true"))
    look = row("GET a container", lambda: client.request("GET", f"/containers/{container_id}"))
    page = row("page of 20 containers", lambda: client.request("GET", "/containers?limit=20"))
    report.ratio("1+1 in a live container / GET /health", python, health)
    report.ratio("GET a container / GET /health", look, health)
    report.ratio("page of 20 containers / GET /health", page, health)


def at_once(report: Report, client: BenchmarkClient, containers: list[str], runs: int) -> None:
    """Measure as many clients as would keep a small machine busy."""
    numbers = itertools.count()

    def compute() -> None:
        client.python(containers[next(numbers) % len(containers)], "1+1", expect="2\n")

    report.add(
        measure("GET /health", client.health, runs=runs, at_once=len(containers)),
        measure("1+1, each in its own container", compute, runs=runs, at_once=len(containers)),
        measure(
            "page of 20 containers",
            lambda: client.request("GET", "/containers?limit=20"),
            runs=runs,
            at_once=len(containers),
        ),
    )


if __name__ == "__main__":
    main()
