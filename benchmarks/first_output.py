"""Measures the main promises over HTTP: create to first output, a small call, a page of the list.

    python -m benchmarks.first_output --base-url http://127.0.0.1:8484/v1 --api-key KEY

Each is measured one at a time and 16 at once; creations also some time apart, as the pool of ready sandboxes is
meant to be used: those without a pause show what is left when it cannot keep up. The server must run already;
containers made here are deleted.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable

from benchmarks.client import BenchmarkClient
from benchmarks.measure import Figures, measure, write_result

AT_ONCE = 16
POOL_PAUSE_S = 1.5  # long enough for the pool of ready sandboxes to be filled again


def main() -> None:
    """Read the command line, measure, print and write ``results/first_output.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", default=os.environ.get("ATOLL_BASE_URL", "http://127.0.0.1:8484/v1"))
    parser.add_argument(
        "--api-key", default=os.environ.get("ATOLL_API_KEY"), required="ATOLL_API_KEY" not in os.environ
    )
    parser.add_argument(
        "--runs", type=int, default=30, help="creations measured in each row; calls get ten times as many"
    )
    options = parser.parse_args()
    client = BenchmarkClient(options.base_url, options.api_key)
    rows = [*creations(client, options.runs), *small_requests(client, options.runs * 10)]
    write_result("first_output", rows, ratios(rows))
    if any(row.failures for row in rows):
        sys.exit("some runs failed; the figures above are those of the others")


def creations(client: BenchmarkClient, runs: int) -> list[Figures]:
    """Measure what a newcomer waits for: a container's first output, with and without pandas."""

    def create_and_run(code: str, expected: str) -> Callable[[], None]:
        def action() -> None:
            container_id = client.create()
            try:
                check(client.python(container_id, code), expected)
            finally:
                client.delete(container_id)

        return action

    pandas = "import pandas as pd; print(int(pd.Series([1, 2]).sum()))"
    first = "create, first Python output, delete"
    return [
        measure("fresh python3 -c 'print(1)' (no walls)", fresh_python, runs=runs),
        measure(first, create_and_run("print(1)", "1"), runs=runs),
        measure(f"{first} (pandas)", create_and_run(pandas, "3"), runs=runs),
        measure(
            f"{first} (pandas, {POOL_PAUSE_S:g} s apart)", create_and_run(pandas, "3"), runs=runs, pause_s=POOL_PAUSE_S
        ),
        measure(first, create_and_run("print(1)", "1"), runs=runs * 2, at_once=AT_ONCE),
    ]


def small_requests(client: BenchmarkClient, runs: int) -> list[Figures]:
    """Measure what a living server answers all day: health, ``1+1``, a page of the list."""
    containers = [client.create() for _ in range(AT_ONCE)]
    try:
        for container_id in containers:
            client.python(container_id, "1+1")
        numbers = iter(range(10**9))
        return [
            measure("GET /health", client.health, runs=runs),
            measure("1+1 in a live container", lambda: check(client.python(containers[0], "1+1"), "2"), runs=runs),
            measure(
                "1+1, each in its own container",
                lambda: check(client.python(containers[next(numbers) % AT_ONCE], "1+1"), "2"),
                runs=runs,
                at_once=AT_ONCE,
            ),
            measure(
                "GET /v1/containers?limit=20",
                lambda: client.request("GET", "/containers?limit=20"),
                runs=runs,
            ),
            measure(
                "GET /v1/containers?limit=20",
                lambda: client.request("GET", "/containers?limit=20"),
                runs=runs,
                at_once=AT_ONCE,
            ),
        ]
    finally:
        for container_id in containers:
            client.delete(container_id)


def fresh_python() -> None:
    """Start a plain interpreter: the yardstick for a sandbox's start in the same run."""
    subprocess.run(["/usr/bin/python3", "-c", "print(1)"], check=True, stdout=subprocess.DEVNULL)


def check(output: str, expected: str) -> None:
    """A fast wrong answer is a failure."""
    if expected not in output:
        raise RuntimeError(f"expected {expected!r} in the output, got {output!r}")


def ratios(rows: list[Figures]) -> dict[str, float]:
    """Hold figures of one run against each other: this survives a noisy machine."""
    one_at_a_time = {row.name: row.p50_ms for row in rows if row.at_once == 1}

    def ratio(above: str, below: str) -> float:
        return round((one_at_a_time[above] or 0.0) / (one_at_a_time[below] or float("inf")), 2)

    return {
        "1+1 / health": ratio("1+1 in a live container", "GET /health"),
        "page of 20 / health": ratio("GET /v1/containers?limit=20", "GET /health"),
        "first output / fresh python3": ratio(
            "create, first Python output, delete", "fresh python3 -c 'print(1)' (no walls)"
        ),
    }


if __name__ == "__main__":
    main()
