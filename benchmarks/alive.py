"""Measures a thousand containers that live side by side: making them, using them, their memory, and their end.

    python -m benchmarks.alive

All are made, each runs a call and stays. What a call and a create take then is held against the same with one container
alone; and 200 calls that only wait, each in a container of its own, against one such call. At the end all are deleted,
and whatever the server then holds more than before is counted. Needs root, the default image, and memory for as many.
"""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

from benchmarks.arguments import arguments
from benchmarks.client import BenchmarkClient
from benchmarks.leftovers import held, left_behind
from benchmarks.measure import Figures, Value, measure
from benchmarks.memory import MB, settled_available_bytes
from benchmarks.report import Report
from benchmarks.server import client_of, make_server, wait_for_full_pool

# So that a thousand limits of 1 GiB and 8 GiB of disk may be, and the pool's sandboxes besides.
SETTINGS = {"memory_overcommit": 100, "disk_overcommit": 1000, "sandboxes_max": 1100, "pool_min": 8, "pool_max": 8}
AT_ONCE = 4
IN_FLIGHT_MAX = 200
WAIT_S = 2
TIDY_S_MAX = 120.0

MADE = "create and run a call, keep it"
ALONE, AMONG_ALL = "1+1, one container there", "1+1 in the same, all containers there"
EACH = "1+1, in another container each time"
CREATE_ALONE, CREATE_AMONG_ALL = "create and delete, one container there", "create and delete, all containers there"
ONE_WAITS, MANY_WAIT = f"a call that waits {WAIT_S} s", f"many calls that wait {WAIT_S} s, until the last has ended"


def main() -> None:
    """Measure and write ``results/alive.json``."""
    parser = arguments(__doc__)
    parser.add_argument("--containers", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=300, help="of each row of small calls")
    options = parser.parse_args()
    report = Report("alive", settings=SETTINGS, folder=options.results)
    server = make_server(**SETTINGS)
    try:
        free_before = settled_available_bytes()
        server.start()
        client = client_of(server)
        client.delete(client.create())  # what the first one makes for good is not left by the others
        wait_for_full_pool(client)
        held_before = held(server)
        alive = Alive(client, report, options.runs)
        alive.alone()
        alive.fill(options.containers)
        alive.connect_anew(client_of(server))
        taken = free_before - settled_available_bytes()
        report.add(Value("memory of each container", round(taken / len(alive.containers) / MB, 2), "MB"))
        alive.among_all()
        alive.end()
        left = left_behind(server, held_before, TIDY_S_MAX)
        print(f"left behind: {left or 'nothing'}")
        report.add(Value("left behind by all of them", sum(left.values()), "things"))
    finally:
        server.close()
    sys.exit(report.write())


class Alive:
    """The containers of one run, and what is measured on them."""

    def __init__(self, client: BenchmarkClient, report: Report, runs: int) -> None:
        self.containers: list[str] = []
        self._client = client
        self._report = report
        self._runs = runs
        self._rows: dict[str, Figures] = {}

    def alone(self) -> None:
        """Measure with one container there, which stays."""
        self._add(MADE + ", the first", self._make, runs=1)
        self._add(ALONE, lambda: self._call_in(self.containers[0]), runs=self._runs)
        self._add(CREATE_ALONE, self._create_and_delete, runs=max(1, self._runs // 10))
        self._add(ONE_WAITS, lambda: self._wait_in(self.containers[0]), runs=3)

    def fill(self, count: int) -> None:
        """Make the others."""
        self._add(MADE, self._make, runs=count - 1, at_once=AT_ONCE)
        self._report.add(Value("containers alive at once", len(self.containers), "containers"))

    def connect_anew(self, client: BenchmarkClient) -> None:
        """Go on with a connection that the server has not closed for want of requests."""
        self._client = client

    def among_all(self) -> None:
        """Measure the same again, and calls in many of them at once."""
        self._add(AMONG_ALL, lambda: self._call_in(self.containers[0]), runs=self._runs)
        others = cycle(self.containers)
        self._add(EACH, lambda: self._call_in(next(others)), runs=max(self._runs, len(self.containers)))
        self._add(CREATE_AMONG_ALL, self._create_and_delete, runs=max(1, self._runs // 10))
        chosen = self.containers[:IN_FLIGHT_MAX]
        self._report.add(Value("calls in flight", len(chosen), "calls"))
        self._add(MANY_WAIT, lambda: self._wait_in_all(chosen), runs=3)
        for above, below in ((AMONG_ALL, ALONE), (CREATE_AMONG_ALL, CREATE_ALONE), (MANY_WAIT, ONE_WAITS)):
            self._report.ratio(f"{above} / {below}", self._rows[above], self._rows[below])

    def end(self) -> None:
        """Delete all of them."""
        left = iter(self.containers)
        self._add("delete", lambda: self._client.delete(next(left)), runs=len(self.containers), at_once=AT_ONCE)

    def _add(self, name: str, action: Callable[[], object], *, runs: int, at_once: int = 1) -> None:
        row = measure(name, action, runs=runs, at_once=at_once)
        self._rows[name] = row
        self._report.add(row)

    def _make(self) -> None:
        container_id = self._client.create()
        self.containers.append(container_id)
        self._client.python(container_id, "answer = 6 * 7; print(answer)", expect="42\n")

    def _call_in(self, container_id: str) -> None:
        self._client.python(container_id, "answer - 40", expect="2\n")

    def _create_and_delete(self) -> None:
        self._client.delete(self._client.create())

    def _wait_in(self, container_id: str) -> None:
        self._client.python(container_id, f"import time; time.sleep({WAIT_S}); print(answer)", expect="42\n")

    def _wait_in_all(self, containers: list[str]) -> None:
        with ThreadPoolExecutor(len(containers)) as pool:
            list(pool.map(self._wait_in, containers))


if __name__ == "__main__":
    main()
