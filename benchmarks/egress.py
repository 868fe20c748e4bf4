"""Measures what a network policy costs: a connection, downloads, a create, and memory while nothing happens.

    python -m benchmarks.egress

The same client, a program of its own, talks to the same servers on loopback once as a process of the host and once from
inside a container that may reach them; both in turn, so that a noisy machine meets both alike. Needs root, the default
image and curl on the host.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.arguments import arguments
from benchmarks.client import BenchmarkClient
from benchmarks.measure import Value, figures, measure_in_turn
from benchmarks.memory import proportional_bytes
from benchmarks.report import Report
from benchmarks.server import client_of, running_server
from tests.harness.outside import Outside, outside_world

PLAIN, SECURE = "plain.example.test", "secure.example.test"
SANDBOXES: Final = 200
DOWNLOAD_BYTES: Final = 1 << 30
SETTINGS = {"memory_overcommit": 100, "pool_max": 0, "egress_connections_per_s_max": 10_000}

# Connects, asks, reads the answer: TLS on 443, as nearly every connection of today.
CONNECT = """
import json, socket, ssl, sys, time
host, name, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
request = f"GET /x HTTP/1.1\\r\\nHost: {name}\\r\\nConnection: close\\r\\n\\r\\n".encode()
address = socket.getaddrinfo(host, 443, proto=socket.IPPROTO_TCP)[0][4][0]
times, failures = [], []
for _ in range(runs):
    started = time.perf_counter()
    try:
        with socket.create_connection((address, 443)) as sock:
            with context.wrap_socket(sock, server_hostname=name) as secure:
                secure.sendall(request)
                if not secure.recv(65536).startswith(b"HTTP/1.1 200"):
                    raise OSError("another answer")
        times.append((time.perf_counter() - started) * 1000)
    except OSError as error:
        failures.append(repr(error))
print(json.dumps([times, failures]))
"""


def main() -> None:
    """Measure and write ``results/egress.json``."""
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=200, help="connections of each turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--sandboxes", type=int, default=SANDBOXES)
    options = parser.parse_args()
    report = Report("egress", settings=SETTINGS, folder=options.results)
    with tempfile.TemporaryDirectory() as folder, outside_world(Path(folder)) as outside:
        outside.names.ttl_s = 300  # as real ones are: the second connection need not ask again
        outside.web(1, PLAIN)
        outside.secure_web(2, SECURE)
        with running_server(**SETTINGS, **outside.settings) as server:
            client = client_of(server)
            inside = allowed(client)
            connections(report, client, inside, outside, runs=options.runs, turns=options.turns)
            downloads(report, client, inside, outside, options.turns)
            creates(report, client, max(5, options.runs // 10))
            memory(report, client, server.pid_of("egress"), options.sandboxes)
    sys.exit(report.write())


def connections(
    report: Report, client: BenchmarkClient, inside: str, outside: Outside, *, runs: int, turns: int
) -> None:
    """Measure from connect to the answer's first bytes, over TLS that goes through unopened."""
    rows: dict[str, tuple[list[float], list[str]]] = {
        "connection, direct": ([], []),
        "connection, through a policy": ([], []),
    }
    asking: dict[str, Callable[[], str]] = {
        "connection, direct": lambda: run_here(CONNECT, outside.address(2), SECURE, str(runs)),
        "connection, through a policy": lambda: run_inside(client, inside, CONNECT, SECURE, SECURE, str(runs)),
    }
    for _ in range(turns):
        for name, ask in asking.items():
            times, failures = json.loads(ask())
            rows[name][0].extend(times)
            rows[name][1].extend(failures)
    made = {
        name: figures(name, times, failures, took_s=max(sum(times) / 1000, 1e-9))
        for name, (times, failures) in rows.items()
    }
    report.add(*made.values())
    direct, through = made.values()
    if direct.p50_ms is not None and through.p50_ms is not None:
        report.add(
            Value("a connection's extra time, p50", round(through.p50_ms - direct.p50_ms, 2), "ms", runs * turns)
        )


def downloads(report: Report, client: BenchmarkClient, inside: str, outside: Outside, turns: int) -> None:
    """Measure one download, and eight at once, with and without TLS."""
    for scheme, name, number in (("http", PLAIN, 1), ("https", SECURE, 2)):
        for at_once in (1, 8):
            size = DOWNLOAD_BYTES // at_once
            command = fetch(f"{scheme}://{name}/bytes/{size}", size, at_once)
            here = f"--resolve {name}:80:{outside.address(number)} --resolve {name}:443:{outside.address(number)}"
            label = f"{scheme} download of 1 GiB, {at_once} at once"
            rows = measure_in_turn(
                {
                    f"{label}, direct": lambda command=command, here=here: check(shell_here(command % here)),  # type: ignore[misc]
                    f"{label}, through a policy": lambda command=command: check(
                        shell_inside(client, inside, command % "")
                    ),  # type: ignore[misc]
                },
                runs=turns,
            )
            report.add(*rows.values())
            direct, through = rows.values()
            report.ratio(f"{label}: direct / through a policy", direct, through)


def creates(report: Report, client: BenchmarkClient, runs: int) -> None:
    """Measure a create with a policy and one without; deleting is not timed."""
    made: list[str] = []

    def tidy() -> None:
        while made:
            client.delete(made.pop())

    rows = measure_in_turn(
        {
            "create without a policy": lambda: made.append(client.create()),
            "create with a policy": lambda: made.append(allowed(client)),
        },
        runs=runs,
        before=tidy,
    )
    tidy()
    report.add(*rows.values())
    without, with_policy = rows.values()
    if without.p50_ms is not None and with_policy.p50_ms is not None:
        report.add(Value("a create's extra time, p50", round(with_policy.p50_ms - without.p50_ms, 2), "ms", runs))


def memory(report: Report, client: BenchmarkClient, egress_pid: int, sandboxes: int) -> None:
    """Measure what the egress process holds for containers that do nothing."""
    before = proportional_bytes([egress_pid])
    containers = [allowed(client) for _ in range(sandboxes)]
    each = (proportional_bytes([egress_pid]) - before) / sandboxes
    report.add(Value("memory of the egress process for an idle container", round(each / 1024, 1), "KiB", sandboxes))
    for container in containers:
        client.delete(container)


def allowed(client: BenchmarkClient) -> str:
    """Make a container that may reach the servers."""
    return client.create(network_policy={"type": "allowlist", "allowed_domains": [PLAIN, SECURE]})


def fetch(url: str, size: int, at_once: int) -> str:
    """Give a shell command that downloads and counts; ``%s`` in it takes options of curl."""
    one = f"curl --silent --show-error --insecure --output /dev/null --write-out '%%{{size_download}}\\n' %s {url}"
    count = f"sort | uniq -c | grep -qx ' *{at_once} {size}'"
    return f"for n in $(seq {at_once}); do {one} & done | {count} && echo ok"


def check(text: str) -> None:
    """Raise for anything but a whole download."""
    if text.strip() != "ok":
        raise RuntimeError(f"the download was not whole: {text[:200]!r}")


def run_here(program: str, *arguments_: str) -> str:
    """Run a program on the host; give what it printed."""
    return subprocess.run(
        ["/usr/bin/python3", "-c", program, *arguments_], capture_output=True, text=True, check=True
    ).stdout


def run_inside(client: BenchmarkClient, container: str, program: str, *arguments_: str) -> str:
    """Run it in a container."""
    words = json.dumps(["python3", "-c", program, *arguments_])
    code = (
        f"import subprocess; print(subprocess.run({words}, capture_output=True, text=True, check=True).stdout, end='')"
    )
    return client.python(container, code)


def shell_here(command: str) -> str:
    """Run a shell command on the host."""
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False).stdout


def shell_inside(client: BenchmarkClient, container: str, command: str) -> str:
    """Run it in a container."""
    body: dict[str, object] = {"commands": [command]}
    output = client.request("POST", f"/containers/{container}/shell_calls", body)["output"][0]
    return str(output["stdout"])


if __name__ == "__main__":
    main()
