"""Measures how many containers can come and go, for a minute on end, and whether anything stays behind.

    python -m benchmarks.churn

Several workers each make a container and delete it, again and again. The pool has one size throughout, so that the same
number of sandboxes is ready before and after, and whatever else a server holds of the machine can be counted and
compared: processes, cgroups, loop devices, mounts, namespaces, files. Needs root and the default image.
"""

import sys
import threading
import time

from benchmarks.arguments import arguments
from benchmarks.client import BenchmarkClient
from benchmarks.leftovers import held, left_behind
from benchmarks.measure import Figures, Value, figures
from benchmarks.report import Report
from benchmarks.server import client_of, running_server, wait_for_full_pool

AT_ONCE = 4
SETTINGS = {"pool_min": 8, "pool_max": 8}
TIDY_S_MAX = 30.0


def main() -> None:
    """Measure and write ``results/churn.json``."""
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    report = Report("churn", settings=SETTINGS, folder=options.results)
    with running_server(**SETTINGS) as server:
        client = client_of(server)
        client.delete(client.create())  # what the first one makes for good is not left by the others
        wait_for_full_pool(client)
        before = held(server)
        cycles = churn("create and delete", client, options.seconds)
        report.add(cycles)
        wait_for_full_pool(client)
        left = left_behind(server, before, TIDY_S_MAX)
        print(f"left behind: {left or 'nothing'}")
        report.add(Value("left behind by create and delete", sum(left.values()), "things", runs=cycles.runs))
    sys.exit(report.write())


def churn(name: str, client: BenchmarkClient, seconds: float) -> Figures:
    """Let the workers run for so long; a cycle that has begun is finished."""
    times_ms: list[float] = []
    failures: list[str] = []
    began = time.perf_counter()

    def work() -> None:
        while (started := time.perf_counter()) < began + seconds:
            try:
                client.delete(client.create())
            except Exception as error:  # noqa: BLE001 - whatever went wrong, it is a failure to be counted
                failures.append(repr(error))
            else:
                times_ms.append((time.perf_counter() - started) * 1000)

    workers = [threading.Thread(target=work) for _ in range(AT_ONCE)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return figures(name, times_ms, failures, at_once=AT_ONCE, took_s=time.perf_counter() - began)


if __name__ == "__main__":
    main()
