"""Measures what a container costs in memory once it has run pandas code, by what the host has left.

    python -m benchmarks.density

``MemAvailable`` before ``atoll serve`` less the same with all containers there, divided by their number: server,
supervisor, the preloaded Python that agents are forked from, the pool, page tables and the kernel's own share are all
in it. Needs root, the default image, and memory for 500 containers.
"""

import sys

from benchmarks.arguments import arguments
from benchmarks.client import BenchmarkClient
from benchmarks.first_output import CODE, OUTPUT
from benchmarks.measure import Value, measure
from benchmarks.memory import MB, settled_available_bytes
from benchmarks.report import Report
from benchmarks.server import client_of, make_server

SETTINGS = {"memory_overcommit": 100, "disk_overcommit": 1000}  # so that 500 limits of 1 GiB and 8 GiB of disk may be
AT_ONCE = 4


def main() -> None:
    """Measure and write ``results/density.json``."""
    parser = arguments(__doc__)
    parser.add_argument("--containers", type=int, default=500)
    options = parser.parse_args()
    report = Report("density", settings=SETTINGS, folder=options.results)
    server = make_server(**SETTINGS)
    try:
        before = settled_available_bytes()
        server.start()
        client = client_of(server)
        made = measure(
            "create and run pandas code, keep it", lambda: fill(client), runs=options.containers, at_once=AT_ONCE
        )
        report.add(made)
        there = made.runs - made.failures
        taken = before - settled_available_bytes()
        report.add(Value("memory for each container", round(taken / max(there, 1) / MB, 2), "MB", runs=there))
        if made.failures:
            print("memory for each container counts only those that were made")
    finally:
        server.close()
    sys.exit(report.write())


def fill(client: BenchmarkClient) -> None:
    """Make a container that has run pandas code."""
    client.python(client.create(), CODE, expect=OUTPUT)


if __name__ == "__main__":
    main()
