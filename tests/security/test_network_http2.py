"""Attacks by HTTP/2 on the process that ends TLS, from the inside: connections end, it lives, and others go on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.api import Api, Json
from tests.harness.outside import Outside, WebServer
from tests.harness.poll import wait_until
from tests.harness.server import AtollServer
from tests.network_fixtures import PLAIN, SECURE, egress
from tests.security.test_network import attack

VALUE = "another-s3cret-of-a-test"
OTHER = "other-http2.example.test"
MIB = 1 << 20
# Frames by hand: what h2 would not send. ``talk`` gives the kinds of frames that came, and how it ended.
TOOLS = f"""
PREFACE = b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n"
def frame(kind, flags, stream, body=b""):
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body
def number(value):
    digits = b""
    while value >= 128:
        digits += bytes([value % 128 + 128])
        value //= 128
    return digits + bytes([value])
def field(key, value, prefix=b"\\0"):
    size = len(value)
    return prefix + bytes([len(key)]) + key + (bytes([size]) if size < 127 else b"\\x7f" + number(size - 127)) + value
def head(authority=b"{SECURE}", path=b"/attack", method=b"GET", scheme=b"https"):
    return (field(b":method", method) + field(b":scheme", scheme) + field(b":authority", authority)
            + field(b":path", path))
def begin(name="{SECURE}"):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    sock = socket.create_connection((name, 443), timeout=20)
    secure = context.wrap_socket(sock, server_hostname=name)
    assert secure.selected_alpn_protocol() == "h2"
    secure.sendall(PREFACE + frame(4, 0, 0))
    return secure
def talk(sent, until=None, name="{SECURE}"):
    with begin(name) as secure:
        got = b""
        try:
            for at in range(0, len(sent), 1 << 16):
                secure.sendall(sent[at : at + (1 << 16)])
            while data := secure.recv(1 << 16):
                got += data
                if until is not None and until in got:
                    return "still open", got.decode("latin-1")
        except OSError as error:
            return "ended", got.decode("latin-1")
        return "ended", got.decode("latin-1")
"""
FLOODS = {
    "resets": "b''.join(frame(1, 5, 2 * n + 1, head()) + frame(3, 0, 2 * n + 1, bytes(4)) for n in range(5000))",
    "streams": "b''.join(frame(1, 4, 2 * n + 1, head(method=b'POST')) for n in range(200))",
    "bombs": "frame(1, 5, 1, head() + field(b'x-big', b'a' * 4000, b'\\x40') + b'\\xbe' * 8000)",
    "long lists": "frame(1, 1, 1, head() + field(b'x', b'y') * 2000)"
    " + b''.join(frame(9, 0, 1, field(b'x', b'y') * 2000) for _ in range(50))",
    "continuations": "frame(1, 1, 1, head()) + frame(9, 0, 1) * 20000",
    "pings": "frame(6, 0, 0, bytes(8)) * 200000",
    "settings": "(frame(4, 0, 0, b'\\0\\1' + bytes(4)) + frame(4, 0, 0, b'\\0\\1\\x7f\\0\\0\\0')) * 20000",
    "empty data": "frame(1, 4, 1, head(method=b'POST')) + frame(0, 0, 1) * 200000",
    "nonsense": "os.urandom(100000)",
    "too long": "b'\\xff\\xff\\xff' + bytes(100000)",
    "a number without end": "frame(1, 5, 1, b'\\xff' * 10000)",
}


@pytest.fixture(scope="module")
def other_http2(outside: Outside) -> WebServer:
    return outside.secure_web(4, OTHER, protocols=("h2", "http/1.1"))


@pytest.fixture(scope="module")
def victim(network_api: Api, plain_web: WebServer, secure_web: WebServer, other_http2: WebServer) -> Iterator[str]:
    policy = {
        "type": "allowlist",
        "allowed_domains": [PLAIN, SECURE, OTHER],
        "domain_secrets": [{"domain": SECURE, "name": "TOKEN", "value": VALUE}],
    }
    made = network_api.create(network_policy=policy)["id"]
    yield made
    network_api.delete(made)


def assault(api: Api, container: str, code: str) -> Json:
    return attack(api, container, TOOLS + code)


def resident_bytes(server: AtollServer) -> int:
    status = Path(f"/proc/{server.pid_of('egress')}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("flood", FLOODS)
def test_floods(network_api: Api, network_server: AtollServer, secure_web: WebServer, victim: str, flood: str) -> None:
    pid, before = network_server.pid_of("egress"), resident_bytes(network_server)
    found = assault(network_api, victim, f"for turn in range(3): found[str(turn)] = talk({FLOODS[flood]})[0]")
    assert set(found.values()) == {"ended"}
    assert network_server.pid_of("egress") == pid
    assert resident_bytes(network_server) < before + 32 * MIB
    assert {decision["reason"] for decision in egress(network_api, victim)[:3]} == {"not_http"}
    (output,) = network_api.shell(victim, f"curl -sS --http2 -H 'X-Key: $TOKEN' https://{SECURE}/after")
    assert output["stdout"] == "GET /after 0\n"
    assert secure_web.seen[-1].headers["X-Key"] == VALUE


def test_another_authority(network_api: Api, secure_web: WebServer, other_http2: WebServer, victim: str) -> None:
    before = len(secure_web.seen), len(other_http2.seen)
    heads = {
        "other": f"head(b'{OTHER}')",
        "port": f"head(b'{SECURE}:80')",
        "userinfo": f"head(b'{SECURE}@{OTHER}')",
        "none": "head()[: -len(field(b':path', b'/attack'))].replace(b':authority', b'x-authority')"
        " + field(b':path', b'/attack')",
        "host": f"head() + field(b'host', b'{OTHER}')",
        "scheme": "head(scheme=b'http')",
        "path": f"head(path=b'https://{OTHER}/')",
        "connect": f"field(b':method', b'CONNECT') + field(b':authority', b'{OTHER}:443')",
        "websocket": "head(method=b'CONNECT') + field(b':protocol', b'websocket')",
        "twice": f"head() + field(b':authority', b'{OTHER}')",
    }
    code = "".join(f"found[{name!r}] = talk(frame(1, 5, 1, {head}), b'not let out')\n" for name, head in heads.items())
    found = assault(network_api, victim, code)
    assert all(how == "ended" or "not let out" in got for how, got in found.values()), found
    assert (len(secure_web.seen), len(other_http2.seen)) == before
    told = {decision["reason"] for decision in egress(network_api, victim)[:20]}
    assert {"other_name", "not_http", "no_name"} <= told


def test_a_placeholder_goes_to_its_domain_only(
    network_api: Api, secure_web: WebServer, other_http2: WebServer, victim: str
) -> None:
    indexed = "field(b'x-key', b'$TOKEN', b'\\x40')"
    twice = f"frame(1, 5, 1, head(b'{{0}}') + {indexed}) + frame(1, 5, 3, head(b'{{0}}') + b'\\xbe')"
    code = "".join(
        f"found[{name!r}] = talk({twice.format(name)}, name={name!r}, until=b'GET /attack')[0]\n"
        for name in (SECURE, OTHER)
    )
    before = len(secure_web.seen), len(other_http2.seen)
    assert set(assault(network_api, victim, code).values()) == {"still open"}
    wait_until(lambda: len(secure_web.seen) - before[0] == 2, what="both requests")
    wait_until(lambda: len(other_http2.seen) - before[1] == 2, what="both requests elsewhere")
    assert [request.headers["X-Key"] for request in secure_web.seen[before[0] :]] == [VALUE] * 2
    assert [request.headers["X-Key"] for request in other_http2.seen[before[1] :]] == ["$TOKEN"] * 2


def test_windows_that_never_open(network_api: Api, network_server: AtollServer, victim: str) -> None:
    """Many downloads that are asked for and not read: little of each is held."""
    before = resident_bytes(network_server)
    code = """
wide = frame(4, 0, 0, b"\\0\\4\\x7f\\xff\\xff\\xff") + frame(8, 0, 0, (0x7FFF0000).to_bytes(4, "big"))
held = []
for opening in (b"", wide):
    for _ in range(10):
        secure = begin()
        secure.sendall(opening + b"".join(frame(1, 5, 2 * n + 1, head(path=b"/bytes/50000000")) for n in range(20)))
        held.append(secure)
found["asked"] = len(held)
import builtins
builtins.held = held
"""
    assert assault(network_api, victim, code) == {"asked": 20}
    (output,) = network_api.shell(victim, f"curl -sS --http2 https://{SECURE}/bytes/10000000 | wc -c")
    assert output["stdout"].strip() == "10000000"
    assert resident_bytes(network_server) < before + 20 * 4 * MIB
    assault(network_api, victim, "import builtins\nfor one in builtins.held: one.close()")
