"""Domain secrets: put into requests to their domain on the way out, and nowhere else to be found."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import machine
from tests.harness.api import Api, Json
from tests.harness.outside import Outside, WebServer
from tests.harness.server import AtollServer
from tests.harness.wheels import index_of
from tests.network_fixtures import PLAIN, SECURE, egress

VERSIONS = {"--http1.1": "http/1.1", "--http2": "h2"}
VALUE = "s3cret-value-of-a-test"
OTHER = "other-secure.example.test"


def policy(*secrets: tuple[str, str, str]) -> Json:
    listed = [{"domain": domain, "name": name, "value": value} for domain, name, value in secrets]
    allowlist: Json = {"type": "allowlist", "allowed_domains": [PLAIN, SECURE, OTHER]}
    return allowlist | {"domain_secrets": listed} if listed else allowlist


@pytest.fixture(scope="module")
def other_web(outside: Outside) -> WebServer:
    return outside.secure_web(3, OTHER, protocols=("h2", "http/1.1"))


@pytest.fixture(scope="module")
def container(
    network_api: Api, outside: Outside, plain_web: WebServer, secure_web: WebServer, other_web: WebServer
) -> Iterator[str]:
    made = network_api.create(network_policy=policy((SECURE, "TOKEN", VALUE)))
    assert VALUE not in str(made)
    network_api.upload(made["id"], "outside.pem", outside.authority.pem)
    yield made["id"]
    network_api.delete(made["id"])


def shell(api: Api, container: str, command: str) -> str:
    (output,) = api.shell(container, command)
    assert output["outcome"] == {"type": "exit", "exit_code": 0}, output
    return str(output["stdout"])


NODE_HTTP2 = f"""
const session = require('http2').connect('https://{SECURE}');
const request = session.request({{':path': '/hello', 'x-key': process.env.TOKEN}});
request.pipe(process.stdout);
request.on('end', () => session.close());
"""
CLIENTS = {
    "curl, HTTP/1.1": f"curl -sS --http1.1 -H 'X-Key: $TOKEN' https://{SECURE}/hello",
    "node, HTTP/2": f"node -e \"$(cat <<'END'{NODE_HTTP2}END\n)\"",
    "curl": f'curl -sS -H "Authorization: Bearer $TOKEN" https://{SECURE}/hello',
    "curl, unexpanded": f"curl -sS -H 'Authorization: Bearer $TOKEN' https://{SECURE}/hello",
    "curl, basic": f"curl -sS -u 'user:$TOKEN' https://{SECURE}/hello",
    "wget": f"wget -q -O - --header 'X-Key: $TOKEN' https://{SECURE}/hello",
    "node": f"node -e \"fetch('https://{SECURE}/hello', {{headers: {{'X-Key': process.env.TOKEN}}}})"
    f'.then(r => r.text()).then(t => process.stdout.write(t))"',
    "urllib": f"python3 -c \"import os, urllib.request as u; print(u.urlopen(u.Request('https://{SECURE}/hello', "
    f"headers={{'X-Key': os.environ['TOKEN']}})).read().decode(), end='')\"",
    "requests": f"python3 -c \"import os, requests; print(requests.get('https://{SECURE}/hello', "
    f"headers={{'X-Key': os.environ['TOKEN']}}).text, end='')\"",
    "httpx": f"PYTHONPATH=httpx python3 -c \"import os, httpx; print(httpx.get('https://{SECURE}/hello', "
    f"headers={{'X-Key': os.environ['TOKEN']}}).text, end='')\"",
    "httpx, HTTP/2": f'PYTHONPATH=httpx python3 -c "import os, httpx; print(httpx.Client(http2=True)'
    f".get('https://{SECURE}/hello', headers={{'X-Key': os.environ['TOKEN']}}).text, end='')\"",
}
SPEAK_HTTP2 = {"curl", "curl, unexpanded", "curl, basic", "node, HTTP/2", "httpx, HTTP/2"}


@pytest.fixture(scope="module")
def httpx_inside(network_api: Api, secure_web: WebServer, container: str) -> None:
    """Install what the image does not have, by the same way out."""
    secure_web.files |= index_of(
        ("httpx", "httpcore", "h11", "h2", "hpack", "hyperframe", "anyio", "certifi", "idna", "typing-extensions")
    )
    index = f"https://{SECURE}/simple"
    shell(network_api, container, f"python3 -m pip install -q --index-url {index} --target httpx 'httpx[http2]'")


@pytest.mark.parametrize("client", CLIENTS)
def test_clients_trust_and_the_value_goes_out(
    request: pytest.FixtureRequest, network_api: Api, secure_web: WebServer, container: str, client: str
) -> None:
    if "httpx" in client:
        request.getfixturevalue("httpx_inside")
    before = len(secure_web.seen)
    assert shell(network_api, container, CLIENTS[client]) == "GET /hello 0\n"
    (seen,) = secure_web.seen[before:]
    sent = " ".join(seen.headers.values())
    assert VALUE in sent or "basic" in client
    assert "$TOKEN" not in sent
    assert {name.lower(): value for name, value in seen.headers.items()}["host"] in (SECURE, f"{SECURE}:443")
    assert seen.protocol == ("h2" if client in SPEAK_HTTP2 else "http/1.1")


def test_the_kernels_python_sees_it_too(network_api: Api, secure_web: WebServer, container: str) -> None:
    code = f"""
import os, urllib.request
request = urllib.request.Request("https://{SECURE}/python", headers={{"X-Key": os.environ["TOKEN"]}})
print(os.environ["TOKEN"], urllib.request.urlopen(request).read())
"""
    assert "$TOKEN b'GET /python 0" in network_api.logs(container, code)
    assert secure_web.seen[-1].headers["X-Key"] == VALUE


def test_git_and_pip_trust(network_api: Api, secure_web: WebServer, container: str) -> None:
    secure_web.files["/repo.git/info/refs?service=git-upload-pack"] = b""
    output = network_api.shell(container, f"git ls-remote 'https://x:$TOKEN@{SECURE}/repo.git'")[0]
    assert "certificate" not in output["stderr"].lower(), output
    output = network_api.shell(
        container, f"python3 -m pip download --retries 0 --no-deps --index-url https://{SECURE}/nothing none-such"
    )[0]
    assert "certificate" not in output["stderr"].lower(), output
    assert "none-such" in output["stderr"]


@pytest.mark.parametrize("version", VERSIONS)
def test_large_bodies_and_uploads(network_api: Api, secure_web: WebServer, container: str, version: str) -> None:
    curl = f"curl -sS {version}"
    assert shell(network_api, container, f"{curl} https://{SECURE}/bytes/50000000 | wc -c").strip() == "50000000"
    upload = f"head -c 20000000 /dev/zero | {curl} -T - https://{SECURE}/up"
    assert shell(network_api, container, upload) == "PUT /up 20000000\n"
    assert secure_web.seen[-1].protocol == VERSIONS[version]


def test_many_requests_at_once_on_one_connection(network_api: Api, secure_web: WebServer, container: str) -> None:
    connections, before = secure_web.connections, len(secure_web.seen)
    urls = " ".join(f"https://{SECURE}/bytes/{number}000" for number in range(100, 140))
    command = f"curl -sS --http2 --parallel --parallel-max 40 -H 'X-Key: $TOKEN' {urls} | wc -c"
    assert int(shell(network_api, container, command)) == sum(range(100, 140)) * 1000
    assert {request.headers["X-Key"] for request in secure_web.seen[before:]} == {VALUE}
    assert secure_web.connections - connections < 40


def test_websocket(network_api: Api, secure_web: WebServer, container: str) -> None:
    request = (
        f"GET /echo HTTP/1.1\r\nHost: {SECURE}\r\nX-Key: $TOKEN\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    ).encode()
    code = f"""
import socket, ssl
sock = socket.create_connection(("{SECURE}", 443), timeout=20)
context = ssl.create_default_context()
context.set_alpn_protocols(["http/1.1"])
sock = context.wrap_socket(sock, server_hostname="{SECURE}")
sock.sendall({request!r})
head = b""
while not head.endswith(b"\\r\\n\\r\\n"):
    head += sock.recv(1)
sock.sendall(b"ping")
print(head.split(b"\\r\\n")[0].decode(), sock.recv(4))
"""
    assert "101 Switching Protocols b'ping'" in network_api.logs(container, code)
    assert secure_web.seen[-1].headers["X-Key"] == VALUE


def test_a_placeholder_stays_one_everywhere_else(
    network_api: Api, plain_web: WebServer, other_web: WebServer, container: str
) -> None:
    header = "-H 'X-Key: $TOKEN'"
    shell(network_api, container, f"curl -sS {header} http://{PLAIN}/x")
    assert plain_web.seen[-1].headers["X-Key"] == "$TOKEN"
    for version, protocol in VERSIONS.items():
        shell(network_api, container, f"curl -sS {version} --cacert outside.pem {header} https://{OTHER}/x")
        assert (other_web.seen[-1].headers["X-Key"], other_web.seen[-1].protocol) == ("$TOKEN", protocol)
    # Where TLS is ended for another secret, this one is a placeholder, too.
    made = network_api.create(network_policy=policy((SECURE, "TOKEN", VALUE), (OTHER, "OTHER_TOKEN", "other-value")))
    for version, protocol in VERSIONS.items():
        shell(network_api, made["id"], f"curl -sS {version} {header} -H 'X-Other: $OTHER_TOKEN' https://{OTHER}/x")
        request = other_web.seen[-1]
        assert (request.headers["X-Key"], request.headers["X-Other"]) == ("$TOKEN", "other-value")
        assert request.protocol == protocol


@pytest.mark.parametrize("version", VERSIONS)
def test_another_host_inside_tls(
    network_api: Api, secure_web: WebServer, other_web: WebServer, container: str, version: str
) -> None:
    before = len(secure_web.seen), len(other_web.seen)
    command = f"curl -sS {version} -H 'Host: {OTHER}' -H 'X-Key: $TOKEN' https://{SECURE}/fronted -w '%{{http_code}}'"
    output = network_api.shell(container, command)[0]
    assert "not let out" in output["stdout"]
    assert output["stdout"].endswith("421" if version == "--http2" else "403")
    assert (len(secure_web.seen), len(other_web.seen)) == before
    assert "other_name" in [decision["reason"] for decision in egress(network_api, container)[:2]]
    assert f"[atoll] Not reached over the network: {SECURE}" in output["stderr"]


def test_a_server_that_is_not_who_it_says(network_api: Api, outside: Outside, secure_web: WebServer) -> None:
    false_name = "false.example.test"
    outside.names.addresses[false_name] = [outside.address(2)]  # whose certificate has other names
    wanted = policy((false_name, "TOKEN", VALUE))
    wanted["allowed_domains"].append(false_name)
    made = network_api.create(network_policy=wanted)["id"]
    before = len(secure_web.seen)
    output = network_api.shell(made, f"curl -sS -H 'X-Key: $TOKEN' https://{false_name}/")[0]
    assert "tls_failed" in output["stdout"]
    assert len(secure_web.seen) == before
    assert egress(network_api, made)[0]["reason"] == "tls_failed"


def test_a_server_that_speaks_less_than_the_program_offers(network_api: Api, outside: Outside) -> None:
    old_name = "old.example.test"
    old_web = outside.secure_web(5, old_name)
    wanted = policy((SECURE, "TOKEN", VALUE))
    wanted["allowed_domains"].append(old_name)
    wanted["domain_secrets"][0]["domain"] = old_name
    made = network_api.create(network_policy=wanted)["id"]
    assert shell(network_api, made, f"curl -sS --http2 -H 'X-Key: $TOKEN' https://{old_name}/x") == "GET /x 0\n"
    assert (old_web.seen[-1].headers["X-Key"], old_web.seen[-1].protocol) == (VALUE, "http/1.1")
    # Who can speak nothing else is told so by TLS, there being no request yet that could be answered.
    output = network_api.shell(made, f"curl -sS --http2-prior-knowledge https://{old_name}/y")[0]
    assert output["outcome"] != {"type": "exit", "exit_code": 0}
    assert f"[atoll] Not reached over the network: {old_name}" in output["stderr"]
    assert len(old_web.seen) == 1
    assert egress(network_api, made)[0]["reason"] == "tls_failed"


def test_secrets_come_and_go_with_the_policy(network_api: Api, secure_web: WebServer) -> None:
    made = network_api.create()["id"]
    ask = f"curl -sS -H 'X-Key: $TOKEN' https://{SECURE}/x"
    for value in ("first-value", "second-value"):
        body = {"network_policy": policy((SECURE, "TOKEN", value))}
        assert value not in str(network_api.call("POST", f"/containers/{made}", json=body))
        shell(network_api, made, ask)
        assert secure_web.seen[-1].headers["X-Key"] == value
    # A list of other domains may keep what it has; a secret that is given again has its new value only.
    wider = {"type": "allowlist", "allowed_domains": [SECURE, "more.example.test"]}
    kept = {"network_policy": wider, "keep_domain_secrets": True}
    network_api.call("POST", f"/containers/{made}", json=kept)
    shell(network_api, made, ask)
    assert secure_web.seen[-1].headers["X-Key"] == "second-value"
    kept["network_policy"] = wider | {"domain_secrets": [{"domain": SECURE, "name": "TOKEN", "value": "third-value"}]}
    network_api.call("POST", f"/containers/{made}", json=kept)
    shell(network_api, made, ask)
    assert secure_web.seen[-1].headers["X-Key"] == "third-value"
    body = {"network_policy": {"type": "allowlist", "allowed_domains": [SECURE]}}
    network_api.call("POST", f"/containers/{made}", json=body)
    shell(network_api, made, f"{ask} --insecure")  # the real certificate again, which it does not trust
    assert secure_web.seen[-1].headers["X-Key"] == "$TOKEN"


@pytest.mark.parametrize("later", [(), ((SECURE, "TOKEN", "another-value"),)])
def test_a_secret_that_was_taken_back_is_not_put_in_on_a_connection_from_before(
    network_api: Api, secure_web: WebServer, later: tuple[tuple[str, str, str], ...]
) -> None:
    made = network_api.create(network_policy=policy((SECURE, "TOKEN", VALUE), (OTHER, "TOKEN", VALUE)))["id"]
    begin = (
        "import http.client, ssl, os\n"
        f"line = http.client.HTTPSConnection('{SECURE}', context=ssl.create_default_context())\n"
        "line.auto_open = False\n"
        "line.connect()\n"
        "def ask():\n"
        "    line.request('GET', '/x', headers={'X-Key': '$TOKEN'})\n"
        "    line.getresponse().read()\n"
        "ask()\nask()"
    )
    assert network_api.logs(made, begin) == ""
    assert [request.headers["X-Key"] for request in secure_web.seen[-2:]] == [VALUE, VALUE]
    before = len(secure_web.seen)
    network_api.call("POST", f"/containers/{made}", json={"network_policy": policy(*later)})
    assert "Error" in network_api.logs(made, "ask()")
    assert len(secure_web.seen) == before


@pytest.mark.parametrize(
    ("secret", "param"),
    [
        (("elsewhere.example.test", "TOKEN", "v"), "domain"),
        (("https://x", "TOKEN", "v"), "domain"),
        (("*.example.test", "TOKEN", "v"), "domain"),
        ((f"{SECURE}:443", "TOKEN", "v"), "domain"),
        ((SECURE, "1TOKEN", "v"), "name"),
        ((SECURE, "A=B", "v"), "name"),
        ((SECURE, "TOKEN", f"{VALUE}\r\nX: y"), "value"),
        ((SECURE, "TOKEN", f"{VALUE}ü"), "value"),
        ((SECURE, "TOKEN", VALUE * 1000), "value"),
    ],
)
def test_what_is_refused_is_named_and_not_told(network_api: Api, secret: tuple[str, str, str], param: str) -> None:
    answer = network_api.send("POST", "/containers", json={"name": "x", "network_policy": policy(secret)})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == f"network_policy.domain_secrets[0].{param}"
    assert VALUE not in answer.text


def test_the_value_is_nowhere_to_be_found(
    network_api: Api, network_server: AtollServer, secure_web: WebServer, container: str
) -> None:
    for version in VERSIONS:
        shell(network_api, container, f"curl -sS {version} -H 'X-Key: $TOKEN' https://{SECURE}/hello")
        # Answers and errors that are made of requests, too.
        network_api.shell(container, f"curl -sS {version} -H 'Host: {OTHER}' -H 'X-Key: $TOKEN' https://{SECURE}/")
        network_api.shell(container, f"curl -sS {version} -X CONNECT -H 'X-Key: $TOKEN' https://{SECURE}/")
    found = [
        str(path)
        for folder in (network_server.data_dir, network_server.run_dir)
        for path in folder.rglob("*")
        if path.is_file() and path.name != "disk.img" and VALUE.encode() in _content(path)
    ]
    assert found == []
    assert VALUE not in network_server.log_path.read_text(errors="replace")
    assert VALUE not in network_api.send("GET", f"{network_server.base_url.removesuffix('/v1')}/metrics").text
    assert VALUE not in str(egress(network_api, container)) + str(network_api.containers())
    lines = [machine.command_line(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdigit()]
    assert not [line for line in lines if VALUE in line and "pytest" not in line]
    inside = "grep -rsl s3cret-value-of /proc/[0-9]*/environ /etc /mnt/data /tmp /run 2>/dev/null; env | grep -c s3cret"
    assert network_api.shell(container, inside)[0]["stdout"].strip() == "0"


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.stat().st_size < 100 << 20 else b""
    except OSError:
        return b""
