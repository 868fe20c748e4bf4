"""Measures what a network policy costs: a connection, downloads, a create, and memory while nothing happens.

    python -m benchmarks.egress

The same program talks to the same servers on loopback, in turn: inside a container by its policy, and directly. The
direct one is a process of the machine that has entered every namespace of that container but the network's, so that
both are the same interpreter and the same curl from the same files, and what they cost themselves is on both sides. It
alone has neither the container's seccomp filter nor its cgroup, which counts against the policy. Programs run for many
connections; what it takes to start them is not timed, except of downloads. Needs root and the default image.
"""

import json
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.arguments import arguments
from benchmarks.client import BenchmarkClient
from benchmarks.measure import Figures, Value, figures, measure_in_turn
from benchmarks.memory import proportional_bytes
from benchmarks.report import Report
from benchmarks.server import client_of, running_server, wait_for_full_pool
from tests.harness import machine
from tests.harness.outside import Outside, outside_world

PLAIN, SECURE, OPENED = "plain.example.test", "secure.example.test", "opened.example.test"
SANDBOXES: Final = 200
DOWNLOAD_MIB: Final = 1024
SETTINGS = {
    "memory_overcommit": 100,
    "disk_overcommit": 1000,
    "pool_max": 0,
    "egress_connections_per_s_max": 10_000,
}
NAMESPACES: Final = ("--mount", "--pid", "--uts", "--ipc", "--cgroup", "--root", "--wd")

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


@dataclass(frozen=True, slots=True)
class Box:
    """A container that may reach the servers, and its first process as the machine sees it."""

    client: BenchmarkClient
    container: str
    pid: int

    def inside(self, command: str) -> str:
        """Run a shell command in the container; give what it printed."""
        body: dict[str, object] = {"commands": [command]}
        output = self.client.request("POST", f"/containers/{self.container}/shell_calls", body)["output"][0]
        return str(output["stdout"])

    def beside(self, command: str) -> str:
        """Run it with all that is the container's but its network."""
        words = ["nsenter", "--target", str(self.pid), *NAMESPACES, "bash", "-c", command]
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
        return subprocess.run(words, capture_output=True, text=True, check=False, env=environment).stdout


def main() -> None:
    """Measure and write ``results/egress.json``."""
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=20, help="connections of each turn")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--downloads", type=int, default=5, help="of each kind")
    parser.add_argument("--mib", type=int, default=DOWNLOAD_MIB, help="of each download, all at once together")
    parser.add_argument("--creates", type=int, default=50)
    parser.add_argument("--sandboxes", type=int, default=SANDBOXES)
    options = parser.parse_args()
    report = Report("egress", settings=SETTINGS, folder=options.results)
    with tempfile.TemporaryDirectory() as folder, outside_world(Path(folder)) as outside:
        outside.names.ttl_s = 300  # as real ones are: the second connection need not ask again
        outside.web(1, PLAIN)
        outside.secure_web(2, SECURE, OPENED)
        roots = outside.authority.folder / "roots.pem"
        roots.write_bytes(outside.authority.pem)
        world = {**outside.settings, "egress_ca_bundle": roots}
        with running_server(**SETTINGS, **world) as server:
            client = client_of(server)
            memory(report, client, server.pid_of("egress"), options.sandboxes)
            container = client.create(**policy(with_secret=True))
            client.shell(container, "true")
            box = Box(client, container, min(machine.sandbox_processes(server.cgroup_parent)))
            connections(report, box, outside, runs=options.runs, turns=options.turns)
            downloads(report, box, outside, mib=options.mib, runs=options.downloads)
        with running_server(**{**SETTINGS, "pool_max": None}, **world) as server:
            creates(report, client_of(server), options.creates)
    sys.exit(report.write())


def connections(report: Report, box: Box, outside: Outside, *, runs: int, turns: int) -> None:
    """Measure from connect to the answer's first bytes, over TLS that goes through unopened and that is ended."""
    asking: dict[str, Callable[[], str]] = {
        "connection, direct": partial(box.beside, program(CONNECT, outside.address(2), SECURE, str(runs))),
        "connection, through a policy": partial(box.inside, program(CONNECT, SECURE, SECURE, str(runs))),
        "connection, TLS ended": partial(box.inside, program(CONNECT, OPENED, OPENED, str(runs))),
    }
    times: dict[str, list[list[float]]] = {name: [] for name in asking}
    failures: dict[str, list[str]] = {name: [] for name in asking}
    for _ in range(turns):
        for name, ask in asking.items():
            of_turn, failed = json.loads(ask())
            times[name].append(of_turn)
            failures[name] += failed
    for name, of_turns in times.items():
        flat = [ms for of_turn in of_turns for ms in of_turn]
        report.add(figures(name, flat, failures[name], took_s=max(sum(flat) / 1000, 1e-9)))
    direct, through, ended = times.values()
    report.add(
        extra("a connection's extra time, p50", direct, through),
        extra("a connection's extra time, TLS ended, p50", direct, ended),
    )


def extra(name: str, direct: list[list[float]], through: list[list[float]]) -> Value:
    """Hold each turn's median against the direct one of the same turn, and give the median of that."""
    more = [
        statistics.median(slow) - statistics.median(fast)
        for fast, slow in zip(direct, through, strict=True)
        if fast and slow
    ]
    return Value(name, round(statistics.median(more), 2), "ms", sum(map(len, through)))


def downloads(report: Report, box: Box, outside: Outside, *, mib: int, runs: int) -> None:
    """Measure one download, and eight at once: without TLS, with TLS that goes through, and with TLS that is ended."""
    kinds = (("http", "http", PLAIN, 1), ("https", "https", SECURE, 2), ("TLS-ended", "https", OPENED, 2))
    report.add(Value("size of a download", mib, "MiB"))
    for kind, scheme, name, number in kinds:
        for at_once in (1, 8):
            size = (mib << 20) // at_once
            command = fetch(f"{scheme}://{name}/bytes/{size}", size, at_once)
            here = f"--resolve {name}:80:{outside.address(number)} --resolve {name}:443:{outside.address(number)}"
            label = f"{kind} download, {at_once} at once"
            rows = measure_in_turn(
                {
                    f"{label}, direct": partial(whole, box.beside, command % here),
                    f"{label}, through a policy": partial(whole, box.inside, command % ""),
                },
                runs=runs,
            )
            report.add(*rows.values())
            direct, through = rows.values()
            report.ratio(f"{label}: direct / through a policy", direct, through)


def creates(report: Report, client: BenchmarkClient, runs: int) -> None:
    """Measure a create with a policy and one without, the pool full; deleting and filling it again is not timed."""
    made: list[str] = []

    def tidy() -> None:
        while made:
            client.delete(made.pop())
        wait_for_full_pool(client)

    rows = measure_in_turn(
        {
            "create without a policy": lambda: made.append(client.create()),
            "create with a policy": lambda: made.append(client.create(**policy())),
            "create with a policy and a secret": lambda: made.append(client.create(**policy(with_secret=True))),
        },
        runs=runs,
        before=tidy,
    )
    tidy()
    report.add(*rows.values())
    without, with_policy, with_secret = rows.values()
    report.add(
        *more_than(without, "a create's extra time, p50", with_policy),
        *more_than(without, "a create's extra time, with a secret, p50", with_secret),
    )


def more_than(without: Figures, name: str, row: Figures) -> list[Value]:
    """Give by how much a median is more than another one; nothing of nothing."""
    if without.p50_ms is None or row.p50_ms is None:
        return []
    return [Value(name, round(row.p50_ms - without.p50_ms, 2), "ms", row.runs)]


def memory(report: Report, client: BenchmarkClient, egress_pid: int, sandboxes: int) -> None:
    """Measure what the egress process holds for idle containers: first of all, and once each used its secret."""
    containers = [client.create(**policy(with_secret=True)) for _ in range(max(1, sandboxes // 20))]
    use = f"curl --silent --fail --insecure --output /dev/null https://{OPENED}/"
    for container in containers:
        client.shell(container, use)  # what the process needs once is there now
    before = proportional_bytes([egress_pid])
    measured = [client.create(**policy(with_secret=True)) for _ in range(sandboxes)]

    def each(name: str) -> Value:
        return Value(name, round((proportional_bytes([egress_pid]) - before) / sandboxes / 1000, 1), "KB", sandboxes)

    report.add(each("memory of the egress process for an idle container"))
    for container in measured:
        client.shell(container, use)
    report.add(each("memory of the egress process for an idle container that has used a secret"))
    for container in containers + measured:
        client.delete(container)


def policy(*, with_secret: bool = False) -> dict[str, Any]:
    """Give what a create takes for a container that may reach the servers."""
    secrets = [{"domain": OPENED, "name": "API_KEY", "value": "v" * 40}] if with_secret else []
    listed = {"type": "allowlist", "allowed_domains": [PLAIN, SECURE, OPENED]}
    return {"network_policy": {**listed, "domain_secrets": secrets} if secrets else listed}


def program(text: str, *words: str) -> str:
    """Give a shell command that runs a Python program."""
    return shlex.join(["python3", "-c", text, *words])


def fetch(url: str, size: int, at_once: int) -> str:
    """Give a shell command that downloads and counts; ``%s`` in it takes options of curl."""
    one = f"curl --silent --show-error --insecure --output /dev/null --write-out '%%{{size_download}}\\n' %s {url}"
    count = f"sort | uniq -c | grep -qx ' *{at_once} {size}'"
    return f"for n in $(seq {at_once}); do {one} & done | {count} && echo ok"


def whole(run: Callable[[str], str], command: str) -> None:
    """Raise for anything but a whole download."""
    text = run(command)
    if text.strip() != "ok":
        raise RuntimeError(f"the download was not whole: {text[:200]!r}")


if __name__ == "__main__":
    main()
