"""Measures a start: from ``atoll serve`` to the first healthy answer, to a full pool, and what then is held idle.

    python -m benchmarks.start

The clock starts before the process does and stops at a ``GET /health`` that answers 200, asked every 20 ms; the image
is built. A first start is one in an empty data folder, which also makes the database and the first key. Memory is the
processes' proportional share (PSS) of an idle server. Needs root and the default image.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.arguments import arguments
from benchmarks.measure import Value, figures
from benchmarks.memory import MB, proportional_bytes
from benchmarks.report import Report
from benchmarks.server import client_of, make_server, wait_for_full_pool
from tests.harness import machine
from tests.harness.server import AtollServer

IDLE_S = 2.0


def main() -> None:
    """Measure and write ``results/start.json``."""
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    report = Report("start", folder=options.results)
    first_ms: list[float] = []
    for _ in range(max(1, options.runs // 3)):
        with closing(make_server()) as server:
            first_ms.append(timed_start(server))
    report.add(figures("first start to ready", first_ms, [], took_s=sum(first_ms) / 1000))
    ready_ms: list[float] = []
    warm_ms: list[float] = []
    with closing(make_server()) as server:
        timed_start(server)
        for _ in range(options.runs):
            server.stop()
            began = time.perf_counter()
            ready_ms.append(timed_start(server))
            wait_for_full_pool(client_of(server))
            warm_ms.append((time.perf_counter() - began) * 1000)
        report.add(figures("start to ready", ready_ms, [], took_s=sum(ready_ms) / 1000))
        report.add(figures("start to full pool", warm_ms, [], took_s=sum(warm_ms) / 1000))
        report.add(Value("idle memory with the pool's sandboxes", held_mb(server), "MB"))
    with closing(make_server(pool_max=0)) as server:
        server.start()
        client_of(server).delete(client_of(server).create())  # whatever is started on first use has been
        report.add(Value("idle memory of all processes", held_mb(server), "MB"))
    sys.exit(report.write())


@contextmanager
def closing(server: AtollServer) -> Iterator[AtollServer]:
    """End a server and everything of it, whatever happens."""
    try:
        yield server
    finally:
        server.close()


def timed_start(server: AtollServer) -> float:
    """Start a server; give the milliseconds until it is ready."""
    began = time.perf_counter()
    server.start()
    return (time.perf_counter() - began) * 1000


def held_mb(server: AtollServer) -> float:
    """Give what all of a server's processes hold together once it had nothing to do for a while."""
    time.sleep(IDLE_S)
    pids = machine.processes_of(server.home, server.cgroup_parent)
    for pid in sorted(pids):
        print(f"  {proportional_bytes([pid]) / MB:8.1f} MB  {machine.command_line(pid)[:100]}")
    return round(proportional_bytes(pids) / MB, 1)


if __name__ == "__main__":
    main()
