"""What people do with a network, from inside a container, against servers that only look like the real ones."""

import hashlib
import io
import os
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.api import Api
from tests.harness.outside import Outside, WebServer
from tests.network_fixtures import PLAIN, SECURE, allow

CA = "--cacert ca.pem"


@pytest.fixture(scope="module")
def container(network_api: Api, outside: Outside, plain_web: WebServer, secure_web: WebServer) -> Iterator[str]:
    made = allow(network_api, PLAIN, SECURE)
    network_api.upload(made, "ca.pem", outside.authority.pem)
    yield made
    network_api.delete(made)


@pytest.fixture(scope="module")
def closed(network_api: Api, outside: Outside) -> Iterator[str]:
    made = allow(network_api, "elsewhere.example.test")
    network_api.upload(made, "ca.pem", outside.authority.pem)
    yield made
    network_api.delete(made)


def run(api: Api, container: str, command: str) -> str:
    """Run a command that must succeed."""
    (output,) = api.shell(container, command)
    assert output["outcome"] == {"type": "exit", "exit_code": 0}, output
    return str(output["stdout"])


def fails(api: Api, container: str, command: str) -> None:
    (output,) = api.shell(container, command)
    assert output["outcome"] != {"type": "exit", "exit_code": 0}, output
    assert "[atoll] Not reached over the network: " in output["stderr"]


def wheel(name: str, tag: str, files: dict[str, bytes]) -> bytes:
    info = f"{name}-1.0.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(),
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, data in (files | {f"{info}/RECORD": record.encode()}).items():
            archive.writestr(path, data)
    return content.getvalue()


@pytest.mark.parametrize(
    ("name", "tag", "files"),
    [
        ("purelike", "py3-none-any", {"purelike.py": b"print('installed')\n"}),
        (
            "binarylike",
            "py3-none-linux_x86_64",
            {"binarylike.py": b"print('installed')\n", "big.so": os.urandom(9 << 20)},
        ),
    ],
)
def test_pip(  # noqa: PLR0917 - fixtures and parameters
    network_api: Api, secure_web: WebServer, container: str, closed: str, name: str, tag: str, files: dict[str, bytes]
) -> None:
    content = wheel(name, tag, files)
    file = f"{name}-1.0-{tag}.whl"
    link = f'<a href="/files/{file}#sha256={hashlib.sha256(content).hexdigest()}">{file}</a>'
    secure_web.files |= {f"/simple/{name}/": link.encode(), f"/files/{file}": content}
    install = (
        f"python3 -m pip install --cert ca.pem --index-url https://{SECURE}/simple --target lib --no-cache-dir {name}"
    )
    run(network_api, container, install)
    assert run(network_api, container, f"PYTHONPATH=lib python3 -m {name}") == "installed\n"
    fails(network_api, closed, install.replace("install ", "install --retries 0 "))


def test_git_clone(network_api: Api, secure_web: WebServer, container: str, closed: str, tmp_path: Path) -> None:
    repository = tmp_path / "thing.git"
    work = tmp_path / "work"
    who = ["-c", "user.name=t", "-c", "user.email=t@example.test", "-c", "init.defaultBranch=main"]
    for command in (
        ["git", *who, "init", "--quiet", str(work)],
        ["git", *who, "-C", str(work), "commit", "--quiet", "--allow-empty", "-m", "first words"],
        ["git", *who, "clone", "--quiet", "--bare", str(work), str(repository)],
        ["git", *who, "-C", str(repository), "update-server-info"],
    ):
        subprocess.run(command, check=True, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    files = (path for path in repository.rglob("*") if path.is_file())
    secure_web.files |= {f"/thing.git/{path.relative_to(repository)}": path.read_bytes() for path in files}
    secure_web.files["/thing.git/info/refs?service=git-upload-pack"] = (repository / "info/refs").read_bytes()
    clone = f"git -c http.sslCAInfo=ca.pem clone --quiet https://{SECURE}/thing.git && git -C thing log --format=%s"
    assert run(network_api, container, clone) == "first words\n"
    fails(network_api, closed, clone)


@pytest.mark.parametrize(
    ("url", "more", "protocol"),
    [
        (f"http://{PLAIN}", "", "http/1.1"),
        (f"https://{SECURE}", f"{CA} --http1.1", "http/1.1"),
        (f"https://{SECURE}", f"{CA} --http2", "h2"),
    ],
)
def test_curl(  # noqa: PLR0917 - fixtures and parameters
    network_api: Api,
    plain_web: WebServer,
    secure_web: WebServer,
    container: str,
    closed: str,
    url: str,
    more: str,
    protocol: str,
) -> None:
    web = plain_web if PLAIN in url else secure_web
    get = f"curl -sS {more} {url}"
    assert run(network_api, container, f"{get}/some/path?and=more") == "GET /some/path?and=more 0\n"
    assert web.seen[-1].protocol == protocol
    assert run(network_api, container, f"{get}/bytes/50000000 | wc -c").strip() == "50000000"
    assert run(network_api, container, f"{get}/1 {url}/2 {url}/3") == "GET /1 0\nGET /2 0\nGET /3 0\n"
    upload = f"head -c 30000000 /dev/zero | curl -sS {more} -T - {url}/up"
    assert run(network_api, container, upload) == "PUT /up 30000000\n"
    assert run(network_api, container, f"{get}/p --data-binary @ca.pem").startswith("POST /p ")
    assert " 200 " in run(network_api, container, f"{get}/head --head")
    assert run(network_api, container, f"{get}/bytes/1000000 --head | grep -ci content-length").strip() == "1"
    assert web.seen[-1].protocol == protocol
    fails(network_api, closed, f"curl -sS {more} {url}/")


@pytest.mark.parametrize("with_tls", [False, True])
def test_websocket(network_api: Api, container: str, with_tls: bool) -> None:
    name, port = (SECURE, 443) if with_tls else (PLAIN, 80)
    wrap = f"sock = ssl.create_default_context(cafile='ca.pem').wrap_socket(sock, server_hostname='{name}')\n"
    request = f"GET /echo HTTP/1.1\r\nHost: {name}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".encode()
    code = (
        f"import socket, ssl\nsock = socket.create_connection(('{name}', {port}), timeout=20)\n"
        + (wrap if with_tls else "")
        + f"sock.sendall({request!r})\n"
        "head = b''\nwhile not head.endswith(b'\\r\\n\\r\\n'): head += sock.recv(1)\n"
        "for word in (b'ping', b'x' * 100_000):\n"
        "    sock.sendall(word)\n    got = b''\n"
        "    while len(got) < len(word): got += sock.recv(65536)\n    assert got == word\n"
        "print(head.split(b'\\r\\n')[0].decode(), 'echoed')"
    )
    assert "101" in (logs := network_api.logs(container, code)), logs
    assert "echoed" in logs


def test_python_clients(network_api: Api, container: str) -> None:
    code = f"""
import importlib.util, os, urllib.request, ssl
print(urllib.request.urlopen("https://{SECURE}/urllib", context=ssl.create_default_context(cafile="ca.pem")).read())
if importlib.util.find_spec("requests"):
    import requests
    print(requests.get("https://{SECURE}/requests", verify="ca.pem").content)
if importlib.util.find_spec("httpx"):
    import httpx
    print(httpx.get("https://{SECURE}/httpx", verify=ssl.create_default_context(cafile="ca.pem")).content)
"""
    logs = network_api.logs(container, code)
    assert "GET /urllib 0" in logs
    assert "Error" not in logs


FETCH = f"fetch('https://{SECURE}/node').then(r => r.text()).then(console.log)"
NODE_HTTP2 = (
    f"const session = require('http2').connect('https://{SECURE}'); session.request({{':path': '/node'}})"
    ".on('end', () => session.close()).pipe(process.stdout)"
)


@pytest.mark.parametrize(("script", "protocol"), [(FETCH, "http/1.1"), (NODE_HTTP2, "h2")])
def test_node(  # noqa: PLR0917 - fixtures and parameters
    network_api: Api, secure_web: WebServer, container: str, closed: str, script: str, protocol: str
) -> None:
    command = f'NODE_EXTRA_CA_CERTS=ca.pem node -e "{script}"'
    assert run(network_api, container, command).strip() == "GET /node 0"
    assert secure_web.seen[-1].protocol == protocol
    fails(network_api, closed, command)
