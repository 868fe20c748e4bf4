"""The console's files as the server gives them: who may do what with the page, and what is no file of it."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from tests.api.scripted import Script, scripted_app
from tests.api.serving import alive


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with a built page."""
    built = tmp_path / "console"
    built.mkdir()
    (built / "index.html").write_text("<!doctype html><title>page</title>")
    (built / "main-ABC.js").write_text("1")
    (built / "main-ABC.js.gz").write_bytes(gzip.compress(b"1"))
    (built / "icon-ABC.svg").write_text("<svg/>")
    (built / "stamp").write_text("x")
    (built / "pdf-ABC").mkdir()
    (built / "pdf-ABC" / "90ms-RKSJ-H.bcmap").write_bytes(b"\0")
    (tmp_path / "secret.js").write_text("secret")
    return built


@pytest.fixture
async def page_client(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client without a key."""
    app = scripted_app(Script(), console_folder=folder)
    async with (
        alive(app),
        httpx.AsyncClient(base_url="http://atoll.test", transport=httpx.ASGITransport(cast("Any", app))) as found,
    ):
        yield found


async def test_the_page_may_speak_to_its_server_and_to_nobody_else(page_client: httpx.AsyncClient) -> None:
    answer = await page_client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = dict(rule.split(" ", 1) for rule in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["worker-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == policy["frame-src"] == "'none'"
    assert "http" not in "".join(policy.values())
    assert (await page_client.head("/")).content == b""


async def test_files_are_kept_for_ever_and_packed_for_those_who_can_unpack(page_client: httpx.AsyncClient) -> None:
    packed = await page_client.get("/console/main-ABC.js")
    assert (packed.text, packed.headers["content-encoding"]) == ("1", "gzip")
    assert packed.headers["content-type"] == "text/javascript; charset=utf-8"
    assert packed.headers["cache-control"] == "public, max-age=31536000, immutable"
    plain = await page_client.get("/console/main-ABC.js", headers={"accept-encoding": "identity"})
    assert plain.text == "1"
    assert "content-encoding" not in plain.headers
    assert (await page_client.get("/console/icon-ABC.svg")).headers["content-type"].startswith("image/svg+xml")
    within = await page_client.get("/console/pdf-ABC/90ms-RKSJ-H.bcmap")
    assert (within.content, within.headers["content-type"]) == (b"\0", "application/octet-stream")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "nope.js",
            "stamp",
            "index.html",
            "main-ABC.js.gz",
            "..%2Fsecret.js",
            "%2e%2e/secret.js",
            ".js",
            "a%00.js",
            "",
        ),
        *("pdf-ABC", "pdf-ABC/", "pdf-ABC/nope.bcmap", "pdf-ABC/..%2F..%2Fsecret.js"),
        *("pdf-ABC%2F..%2F../secret.js", "%2E%2E%2Fconsole/main-ABC.js"),
    ],
)
async def test_what_is_no_file_of_it_is_not_there(page_client: httpx.AsyncClient, name: str) -> None:
    answer = await page_client.get(f"/console/{name}")
    assert answer.status_code == 404
    assert answer.json()["error"]["message"].startswith("Invalid URL (GET /")


async def test_a_server_without_a_built_console_says_so(page_client: httpx.AsyncClient, folder: Path) -> None:
    (folder / "index.html").unlink()
    answer = await page_client.get("/")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "console/build" in answer.text


async def test_the_page_is_no_part_of_the_api(page_client: httpx.AsyncClient) -> None:
    document = (await page_client.get("/openapi.json")).json()
    assert "/" not in document["paths"]
    assert not any("console" in path for path in document["paths"])
