"""Measures how far ``last_active_at`` goes backwards when the server is killed in the middle of its work.

    python -m benchmarks.last_active

Containers are used without a pause; then the list, which is no use itself, is read and the server killed with -9 at
once; the list of the server that is started again is held against it. Where a kill falls between two writes is spread
over a second. Needs root and the default image.
"""

import sys
import time

from benchmarks.arguments import arguments
from benchmarks.client import BenchmarkClient
from benchmarks.measure import Value
from benchmarks.report import Report
from benchmarks.server import client_of, running_server

CONTAINERS = 4
USE_S = 1.5


def main() -> None:
    """Measure and write ``results/last_active.json``."""
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    report = Report("last_active", folder=options.results)
    backwards_s: list[int] = []
    failures = 0
    with running_server() as server:
        client = client_of(server)
        containers = [client.create() for _ in range(CONTAINERS)]
        for number in range(options.runs):
            use(client, containers, USE_S + number / options.runs)
            before = last_active(client)
            server.kill("server")
            server.wait_healthy()
            client = client_of(server)
            after = last_active(client)
            failures += before.keys() != after.keys()
            backwards_s.append(max(before[name] - after.get(name, 0) for name in before))
    name = "last_active_at goes backwards by a kill -9, at most"
    report.add(Value(name, max(0, *backwards_s), "s", runs=len(backwards_s), failures=failures))
    sys.exit(report.write())


def use(client: BenchmarkClient, containers: list[str], seconds: float) -> None:
    """Call each container in turn for so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for container_id in containers:
            client.python(container_id, "1+1", expect="2\n")


def last_active(client: BenchmarkClient) -> dict[str, int]:
    """Give each container's ``last_active_at`` as the list has it."""
    page = client.request("GET", "/containers?limit=100")
    return {item["id"]: item["last_active_at"] for item in page["data"]}


if __name__ == "__main__":
    main()
