"""Attacks on a network policy, from the inside, against listeners outside that must see nothing."""

import json
from collections.abc import Iterator

import pytest

from tests.harness.api import Api, Json
from tests.harness.outside import Outside, Trap, WebServer
from tests.network_fixtures import PLAIN, SECURE, allow, egress

OTHER = "other.example.test"
# What attackers have at hand: ``attempt`` tells what a connection came to; ``tls`` speaks TLS without verifying.
TOOLS = """
import json, os, socket, ssl
def lookup(name):
    try:
        return socket.getaddrinfo(name, 0, proto=socket.IPPROTO_TCP)[0][4][0]
    except OSError as error:
        return f"error: {error}"
def attempt(host, port, sent=b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n", kind=socket.SOCK_STREAM):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as sock:
        sock.settimeout(5)
        try:
            sock.connect((host, port))
            sock.send(sent)
            return sock.recv(65536).decode("latin-1")
        except OSError as error:
            return f"error: {type(error).__name__}"
def tls(host, port, name, request=None, protocols=()):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(protocols)
    try:
        with socket.create_connection((host, port), timeout=5) as sock:
            with context.wrap_socket(sock, server_hostname=name) as secure:
                secure.send(request or f"GET / HTTP/1.1\\r\\nHost: {name}\\r\\n\\r\\n".encode())
                return secure.recv(65536).decode("latin-1")
    except OSError as error:
        return f"error: {type(error).__name__} {error}"
"""


def attack(api: Api, container: str, code: str) -> Json:
    """Run code that leaves what it found in ``found``; give that."""
    text = api.logs(container, f"{TOOLS}\nfound = {{}}\n{code}\nprint('FOUND' + json.dumps(found))")
    found: Json = json.loads(text.partition("FOUND")[2].partition("\n")[0])
    return found


def reasons(api: Api, container: str) -> set[str]:
    return {decision["reason"] for decision in egress(api, container)}


@pytest.fixture(scope="module")
def traps(outside: Outside) -> list[Trap]:
    """Set traps on addresses that do not count as public, and on one that does and that no name leads to."""
    return [outside.trap(number, port) for number in (200, 9) for port in (80, 443, 53, 853, 22)]


@pytest.fixture(autouse=True)
def nothing_is_caught(traps: list[Trap]) -> Iterator[None]:
    yield
    caught = [f"{trap.address}:{trap.port}" for trap in traps if trap.caught]
    for trap in traps:
        trap.caught = 0
    assert not caught


@pytest.fixture
def victim(network_api: Api, plain_web: WebServer, secure_web: WebServer) -> Iterator[str]:
    container = allow(network_api, PLAIN, SECURE)
    yield container
    network_api.delete(container)


def test_bare_addresses(network_api: Api, outside: Outside, victim: str) -> None:
    hosts = [outside.address(1), outside.address(200), outside.address(9), f"::ffff:{outside.address(9)}"]
    hosts += ["93.184.216.34", "2606:4700:4700::1111", "0.0.0.1", "255.255.255.255", "169.254.169.254"]
    found = attack(
        network_api,
        victim,
        f"""
for host in {hosts}:
    for port in (80, 443, 22, 53, 853, 8080):
        found[f"{{host}}:{{port}}"] = attempt(host, port)
""",
    )
    assert all(text.startswith(("error", "HTTP/1.1 403")) for text in found.values() if text), found
    assert reasons(network_api, victim) == {"bare_address"}


def test_another_name_in_the_hello(network_api: Api, secure_web: WebServer, victim: str) -> None:
    before = secure_web.connections
    code = f'for name in ("{OTHER}", "deep.sub.example.test", "a.{SECURE}"): found[name] = tls("{SECURE}", 443, name)'
    found = attack(network_api, victim, code)
    assert all(text.startswith("error") and "access denied" in text.lower() for text in found.values()), found
    assert secure_web.connections == before
    assert reasons(network_api, victim) == {"other_name"}


def test_a_hello_without_a_name(network_api: Api, secure_web: WebServer, victim: str) -> None:
    before = secure_web.connections
    found = attack(network_api, victim, f'found["it"] = tls("{SECURE}", 443, None, b"GET / HTTP/1.1\\r\\n\\r\\n")')
    assert found["it"].startswith("error")
    assert secure_web.connections == before
    assert reasons(network_api, victim) == {"no_name"}


def test_an_encrypted_hello(network_api: Api, secure_web: WebServer, victim: str) -> None:
    before = secure_web.connections
    found = attack(
        network_api,
        victim,
        f"""
def extension(kind, content):
    return kind.to_bytes(2, "big") + len(content).to_bytes(2, "big") + content
name = b"{SECURE}"
entry = b"\\0" + len(name).to_bytes(2, "big") + name
extensions = extension(0, len(entry).to_bytes(2, "big") + entry) + extension(0xfe0d, bytes(200))
body = b"\\3\\3" + bytes(32) + b"\\0\\0\\2\\x13\\1\\1\\0" + len(extensions).to_bytes(2, "big") + extensions
message = b"\\1" + len(body).to_bytes(3, "big") + body
found["it"] = attempt("{SECURE}", 443, b"\\x16\\3\\1" + len(message).to_bytes(2, "big") + message)
""",
    )
    assert found["it"].startswith("\x15\x03\x03")
    assert secure_web.connections == before
    assert reasons(network_api, victim) == {"encrypted_hello"}


def test_what_is_not_tls_on_the_port_of_tls(network_api: Api, secure_web: WebServer, victim: str) -> None:
    before = secure_web.connections
    tries = [b"SSH-2.0-x\r\n", f"GET / HTTP/1.1\r\nHost: {SECURE}\r\n\r\n".encode(), b"\x16\3\1\0\0", bytes(20_000)]
    code = f'for number, sent in enumerate({tries}): found[str(number)] = attempt("{SECURE}", 443, sent)'
    found = attack(network_api, victim, code)
    assert all(text == "" or text.startswith(("error", "\x15")) for text in found.values()), found
    assert secure_web.connections == before
    assert reasons(network_api, victim) == {"not_tls"}


def test_another_host_in_a_request(network_api: Api, plain_web: WebServer, victim: str) -> None:
    before = len(plain_web.seen)
    requests = [
        f"GET / HTTP/1.1\r\nHost: {OTHER}\r\n\r\n",
        f"GET http://{OTHER}/ HTTP/1.1\r\nHost: {PLAIN}\r\n\r\n",
        f"GET http://{PLAIN}@{OTHER}/ HTTP/1.1\r\nHost: {PLAIN}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: {PLAIN}\r\nHost: {OTHER}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: {PLAIN}@{OTHER}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: {PLAIN}:8080\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        f"CONNECT {OTHER}:443 HTTP/1.1\r\nHost: {PLAIN}\r\n\r\n",
        f"CONNECT {PLAIN}:80 HTTP/1.1\r\nHost: {PLAIN}\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost : {PLAIN}\r\n\r\n",
        f"GET / HTTP/1.1\nHost: {OTHER}\n\n",
        f"\r\n\r\nGET / HTTP/1.1\r\nHost: {OTHER}\r\n\r\n",
        "x" * 100_000,
    ]
    code = f'for number, sent in enumerate({requests!r}): found[str(number)] = attempt("{PLAIN}", 80, sent.encode())'
    found = attack(network_api, victim, code)
    assert all(text == "" or text.startswith(("error", "HTTP/1.1 403")) for text in found.values()), found
    assert len(plain_web.seen) == before
    assert reasons(network_api, victim) <= {"other_name", "no_name", "not_http"}


def test_another_host_in_a_later_request_of_a_connection(network_api: Api, plain_web: WebServer, victim: str) -> None:
    good, bad = f"GET /good HTTP/1.1\r\nHost: {PLAIN}\r\n\r\n", f"GET /bad HTTP/1.1\r\nHost: {OTHER}\r\n\r\n"
    post, get = f"POST /good HTTP/1.1\r\nHost: {PLAIN}\r\n", f"GET /good HTTP/1.1\r\nHost: {PLAIN}\r\n"
    hidden = [
        good + bad,
        f"{post}Content-Length: 0\r\n\r\n{bad}",
        f"{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{bad}",
        f"{post}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{bad}",
        f"{get}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n{bad}",
        f"{get}Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n{bad}",
        f"{post}Content-Length: 1_0\r\n\r\n{bad}",
        f"{post}Transfer-Encoding: xchunked\r\n\r\n{bad}",
    ]
    code = f'for number, sent in enumerate({hidden!r}): found[str(number)] = attempt("{PLAIN}", 80, sent.encode())'
    start = len(plain_web.seen)
    attack(network_api, victim, code)
    seen = plain_web.seen[start:]
    assert seen  # the good ones went through
    assert {request.path for request in seen} == {"/good"}
    assert all("upgrade" not in {name.lower() for name in request.headers} for request in seen[:3])
    assert not any(request.headers.get("Upgrade") == "h2c" for request in seen)


def test_names_of_places_that_are_not_public(network_api: Api, network_server: object, outside: Outside) -> None:
    places = [
        outside.address(200), "127.0.0.1", "0.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254",
        "100.100.100.200", "100.64.0.1", "168.63.129.16", "192.0.0.192", "224.0.0.1", "255.255.255.255", "198.18.0.1",
        "::1", "::", "fd00:ec2::254", "fe80::1", "ff02::1", f"::ffff:{outside.address(200)}", "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "2002:a9fe:a9fe::1", "2002:7f00:1::", f"::{outside.address(200)}",
    ]  # fmt: skip
    names = {f"n{number}.inner.example.test": place for number, place in enumerate(places)}
    outside.names.addresses |= {name: [place] for name, place in names.items()}
    container = allow(network_api, "*.inner.example.test")
    code = f"for name in {list(names)!r}: found[name] = tls(name, 443, name)"
    found = attack(network_api, container, code)
    assert all(text.startswith("error") for text in found.values()), found
    decided = {decision["name"]: decision["reason"] for decision in egress(network_api, container)}
    assert decided == dict.fromkeys(names, "not_public")


def test_an_answer_that_changes_between_look_up_and_use(
    network_api: Api, outside: Outside, plain_web: WebServer
) -> None:
    name = "rebinding.example.test"
    turns = iter([outside.address(1)] + [outside.address(200)] * 1000)
    outside.names.addresses[name] = lambda: [next(turns)]
    container = allow(network_api, name)
    request = f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()
    code = f'for turn in range(20): found[str(turn)] = attempt("{name}", 80, {request!r})'
    found = attack(network_api, container, code)
    assert reasons(network_api, container) <= {"allowed", "not_public"}
    assert "not_public" in reasons(network_api, container), found


def test_a_tunnel_through_look_ups(network_api: Api, outside: Outside, victim: str) -> None:
    before = len(outside.names.asked)
    found = attack(
        network_api,
        victim,
        f"""
def query(name, kind, server="127.0.0.1", protocol=socket.SOCK_DGRAM):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    packet = b"\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0" + labels + b"\\0" + kind.to_bytes(2, "big") + b"\\0\\1"
    if protocol is socket.SOCK_STREAM:
        packet = len(packet).to_bytes(2, "big") + packet
    answer = attempt(server, 53, packet, protocol).encode("latin-1")
    answer = answer[2:] if protocol is socket.SOCK_STREAM else answer
    return [answer[3] & 15, int.from_bytes(answer[6:8], "big")]
for server in ("127.0.0.1", "8.8.8.8", "{outside.address(53)}"):
    for protocol in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        found[f"{{server}} {{protocol}}"] = query("secret-data.{OTHER}", 1, server, protocol)
for kind in (2, 5, 6, 12, 15, 16, 33, 64, 65, 255):
    found[f"type {{kind}}"] = query("{PLAIN}", kind)
found["below"] = query("secret-data.{PLAIN}", 1)
""",
    )
    assert outside.names.asked[before:] == []
    no_such_name, empty = [3, 0], [0, 0]
    assert found.pop("below") == no_such_name
    assert {key: value for key, value in found.items() if key.startswith("type") and value != empty} == {}
    assert {key: value for key, value in found.items() if not key.startswith("type") and value != no_such_name} == {}


def test_other_ways_out(network_api: Api, outside: Outside, victim: str) -> None:
    found = attack(
        network_api,
        victim,
        f"""
for port in (80, 443, 853, 22, 8443):
    found[f"udp {{port}}"] = attempt("{outside.address(9)}", port, kind=socket.SOCK_DGRAM)
    found[f"udp name {{port}}"] = attempt(lookup("{SECURE}"), port, kind=socket.SOCK_DGRAM)
for port in (21, 22, 25, 853, 8080, 8443, 65535):
    found[f"tcp {{port}}"] = attempt(lookup("{SECURE}"), port)
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_PACKET, 40):
    for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM):
        for protocol in (1, 58, 255):
            try:
                socket.socket(family, kind, protocol)
                found[f"socket {{family}} {{kind}} {{protocol}}"] = "made"
            except OSError as error:
                found[f"socket {{family}} {{kind}} {{protocol}}"] = f"error: {{error}}"
for path in ("/etc/hosts", "/etc/resolv.conf"):
    try:
        open(path, "a").write("x")
        found[path] = "written"
    except OSError as error:
        found[path] = f"error: {{error}}"
found["interfaces"] = "error" if [name for _, name in socket.if_nameindex()] == ["lo"] else str(socket.if_nameindex())
""",
    )
    assert all(text.startswith("error") for text in found.values()), found


def test_the_hosts_own_services(network_api: Api, network_server: object, outside: Outside, victim: str) -> None:
    port = network_api.base_url.rsplit(":", 1)[1].split("/")[0]
    found = attack(
        network_api,
        victim,
        f"""
for host in ("127.0.0.1", "127.0.0.2", "10.0.2.2", "172.17.0.1", "::1"):
    found[host] = attempt(host, {port})
import glob
sockets = [line for line in open("/proc/net/unix") if "/atoll" in line]
found["sockets"] = str(sockets) if sockets else "error"
""",
    )
    assert all(text.startswith("error") for text in found.values()), found


def test_an_address_that_another_sandbox_was_given(network_api: Api, outside: Outside, plain_web: WebServer) -> None:
    first, second = allow(network_api, PLAIN), allow(network_api, "unheard-of.example.test")
    address = attack(network_api, first, f'found["at"] = lookup("{PLAIN}")')["at"]
    assert address.startswith(("198.18.", "fd61:"))
    before = len(plain_web.seen)
    request = f"GET / HTTP/1.1\r\nHost: {PLAIN}\r\n\r\n"
    text = attack(network_api, second, f'found["it"] = attempt("{address}", 80, {request.encode()!r})')["it"]
    assert text.startswith("HTTP/1.1 403")
    assert len(plain_web.seen) == before
    assert reasons(network_api, second) == {"bare_address"}
