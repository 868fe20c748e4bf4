"""Measures what a server is cost by those who only watch: terminals and streams of events that are open.

    python -m benchmarks.watchers

`1+1` is measured in a container with nobody connected; then with all of them, most of the streams on that very
container, so that each of its calls is told to each of them. Some streams are of another container, in which so much
happens that they are full, and are never read. What the server and the supervisor hold is compared before and after.
Needs root and the default image.
"""

import sys

from benchmarks.arguments import arguments
from benchmarks.client import BenchmarkClient
from benchmarks.crowd import Crowd, gathered
from benchmarks.measure import Figures, Value, measure
from benchmarks.memory import MB, proportional_bytes
from benchmarks.report import Report
from benchmarks.server import client_of, running_server
from tests.harness.server import AtollServer

SETTINGS = {"memory_overcommit": 100, "disk_overcommit": 1000, "pool_max": 2}  # room for those of the terminals
TERMINALS_EACH = 8
WARM_UP = 20
ALONE, WATCHED = "1+1, nobody connected", "1+1, all connected"
TURNS_TO_FILL = 30
# Long names make long events; each of these files is told of in each turn.
FILL = "for n in range(100): open(f'{n:0200}', 'w').write('x')"


def main() -> None:
    """Measure and write ``results/watchers.json``."""
    parser = arguments(__doc__)
    parser.add_argument("--terminals", type=int, default=200)
    parser.add_argument("--streams", type=int, default=500, help="of events, those never read among them")
    parser.add_argument("--deaf", type=int, default=100, help="streams that are never read")
    parser.add_argument("--runs", type=int, default=500, help="of each row of calls")
    options = parser.parse_args()
    report = Report("watchers", settings=SETTINGS, folder=options.results)
    with running_server(**SETTINGS) as server:
        client = client_of(server)
        watched, busy = client.create(), client.create()
        lived_in = [client.create() for _ in range(-(-options.terminals // TERMINALS_EACH))]
        alone = row(report, ALONE, client, watched, options.runs)
        client.python(busy, FILL)
        before = held_bytes(server)
        crowd = Crowd(
            base_url=server.base_url,
            api_key=server.api_key,
            terminals=tuple(lived_in[number % len(lived_in)] for number in range(options.terminals)),
            readers=(watched,) * (options.streams - options.deaf),
            deaf=(busy,) * options.deaf,
        )
        with gathered(crowd) as events_read:
            for _ in range(TURNS_TO_FILL):
                client.python(busy, FILL)
            among_all = row(report, WATCHED, client, watched, options.runs)
            grown = held_bytes(server) - before
            counted = client.metrics()
            print(f"{events_read()} events were read")
        report.ratio(f"{WATCHED} / {ALONE}", among_all, alone)
        report.add(
            Value("terminals open", counted["atoll_terminal_connections_open"], "terminals"),
            Value("event streams open", counted["atoll_event_streams_open"], "streams"),
            Value("growth of server and supervisor", round(grown / MB, 1), "MB"),
        )
    sys.exit(report.write())


def row(report: Report, name: str, client: BenchmarkClient, container_id: str, runs: int) -> Figures:
    """Measure the smallest call."""
    for _ in range(min(WARM_UP, runs)):
        client.python(container_id, "1+1", expect="2\n")
    figures = measure(name, lambda: client.python(container_id, "1+1", expect="2\n"), runs=runs)
    report.add(figures)
    return figures


def held_bytes(server: AtollServer) -> int:
    """Give what the server and the supervisor hold."""
    return proportional_bytes([server.pid_of("server"), server.pid_of("supervisor")])


if __name__ == "__main__":
    main()
