"""One container that takes all it can of the way out: it is bounded, and others do not notice."""

from collections.abc import Callable, Iterator

import pytest

from tests.harness.api import Api
from tests.harness.outside import Outside, WebServer
from tests.harness.poll import wait_until
from tests.harness.server import AtollServer
from tests.network_fixtures import PLAIN, allow, egress

CONNECTIONS_MAX = 8
BYTES_MAX = 1_000_000
FETCH = f"curl -sS --max-time 30 http://{PLAIN}/hello"
HOARD = f"""
import socket, time
held = []
for number in range(200):
    sock = socket.socket()
    sock.settimeout(0.05)
    try:
        sock.connect((socket.gethostbyname("{PLAIN}"), 80))
        sock.send(b"GET / HT"[: number % 8])
    except OSError:
        pass
    held.append(sock)
print(len(held))
"""


@pytest.fixture(scope="module")
def bounded_server(start_server: Callable[..., Iterator[AtollServer]], outside: Outside) -> Iterator[AtollServer]:
    settings = {"egress_connections_max": CONNECTIONS_MAX, "egress_idle_s_max": 1.0, "egress_bytes_max": BYTES_MAX}
    yield from start_server("oci", **outside.settings, **settings)


@pytest.fixture
def api(bounded_server: AtollServer) -> Api:
    return bounded_server.api()


def connections_open(api: Api) -> float:
    text = api.send("GET", f"{api.base_url.removesuffix('/v1')}/metrics").text
    (line,) = (line for line in text.splitlines() if line.startswith("atoll_egress_connections_open "))
    return float(line.split()[1])


def test_connections_that_say_nothing(api: Api, plain_web: WebServer) -> None:
    hoarder, other = allow(api, PLAIN), allow(api, PLAIN)
    before = plain_web.connections
    assert api.logs(hoarder, HOARD).startswith("200\n")
    assert 0 < connections_open(api) <= CONNECTIONS_MAX
    assert plain_web.connections == before  # nobody was dialled for them
    assert api.shell(other, FETCH)[0]["stdout"] == "GET /hello 0\n"
    # They end by themselves, so that even the hoarder gets through in the end.
    wait_until(lambda: {"too_slow"} <= {one["reason"] for one in egress(api, hoarder)}, what="the first to be given up")
    api.call("POST", f"/containers/{hoarder}/restart")
    wait_until(lambda: api.shell(hoarder, FETCH)[0]["stdout"] == "GET /hello 0\n", what="a way out", timeout_s=60)


def test_a_connection_that_falls_silent(api: Api, plain_web: WebServer) -> None:
    container = allow(api, PLAIN)
    plain_web.ended.clear()
    api.shell(container, f"curl -sS --max-time 60 http://{PLAIN}/slow")
    assert plain_web.ended.wait(10)
    assert [decision["reason"] for decision in egress(api, container)] == ["too_slow"]


def test_bytes(api: Api, plain_web: WebServer) -> None:
    container, other = allow(api, PLAIN), allow(api, PLAIN)
    assert int(api.shell(container, f"curl -sS http://{PLAIN}/bytes/900000 | wc -c")[0]["stdout"]) == 900_000
    assert int(api.shell(container, f"curl -sS http://{PLAIN}/bytes/900000 | wc -c")[0]["stdout"]) <= 100_000
    assert egress(api, container)[0]["reason"] == "bytes_max"
    dialled = plain_web.connections
    assert "bytes_max" in api.shell(container, FETCH)[0]["stdout"]
    assert plain_web.connections == dialled
    assert api.shell(other, FETCH)[0]["stdout"] == "GET /hello 0\n"


def test_a_flood_of_look_ups(api: Api, plain_web: WebServer) -> None:
    flooder, other = allow(api, "*.example.test"), allow(api, PLAIN)
    flood = """
import socket
head, tail = b"\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0", b"\\7example\\4test\\0\\0\\1\\0\\1"
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect(("127.0.0.1", 53))
for number in range(20_000):
    try:
        sock.send(head + bytes([8]) + b"%08d" % number + tail)
    except OSError:
        pass
sock.settimeout(2)
answers = 0
try:
    while sock.recv(512):
        answers += 1
except OSError:
    print(answers)
"""
    assert 0 < int(api.logs(flooder, flood).split()[0]) < 5_000
    assert api.shell(other, FETCH)[0]["stdout"] == "GET /hello 0\n"
