"""Uploads as every client sends them, down to the raw bytes."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import httpx
import pytest

from atoll.model.files import FileDescription
from tests.api.scripted import CONTAINER_ID, FILE_ID, KEY, Script, scripted_app
from tests.api.serving import Address, serving

PATH = f"/v1/containers/{CONTAINER_ID}/files"
PATIENCE_S = 10


def part(name: str, content: bytes, disposition: str = "") -> bytes:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{disposition}\r\n\r\n'.encode() + content + b"\r\n"


FORM = {"content-type": "multipart/form-data; boundary=b"}
END = b"--b--\r\n"


async def test_a_file_by_its_bytes(client: httpx.AsyncClient, script: Script) -> None:
    response = await client.post(PATH, files={"file": ("sub/dir/x.txt", b"hello")})
    assert list(response.json()) == ["id", "object", "bytes", "container_id", "created_at", "path", "source"]
    assert response.json()["id"] == FILE_ID
    assert script.stored == {"sub/dir/x.txt": b"hello"}  # the service takes the directories off


async def test_a_file_by_its_id(client: httpx.AsyncClient, script: Script) -> None:
    await client.post(PATH, json={"file_id": "file-1"})
    await client.post(PATH, content=part("file_id", b"file-2") + END, headers=FORM)
    await client.post(PATH, content=b'{"file_id": "file-3"}', headers={"content-type": "text/plain"})
    assert script.asked == [("put_file", "file-1"), ("put_file", "file-2"), ("put_file", "file-3")]


@pytest.mark.parametrize(
    ("content", "headers", "message", "where"),
    [
        (END, FORM, "Missing required parameter: 'file'.", ("file", "missing_required_parameter")),
        (b"{}", {}, "Missing required parameter: 'file_id'.", ("file_id", "missing_required_parameter")),
        (b"", {}, "Missing required parameter: 'file_id'.", ("file_id", "missing_required_parameter")),
        (
            part("file", b"x", '; filename="x"') + part("file_id", b"file-1") + END,
            FORM,
            "Mutually exclusive parameters: 'file' and 'file_id'.",
            ("file_id", "mutually_exclusive_parameters"),
        ),
        (
            part("file_id", b"file-1") + part("file", b"x") + END,
            FORM,
            "Mutually exclusive parameters: 'file' and 'file_id'.",
            ("file_id", "mutually_exclusive_parameters"),
        ),
        (part("colour", b"x") + END, FORM, "Unknown parameter: 'colour'.", ("colour", "unknown_parameter")),
        (part("file", b"x"), FORM, "The multipart form cannot be read", (None, "invalid_multipart")),
        (b"--c--\r\n", FORM, "The multipart form cannot be read", (None, "invalid_multipart")),
        (b"", {"content-type": "multipart/form-data"}, "The Content-Type of a multipart form needs", (None, None)),
    ],
)
async def test_what_is_refused(
    client: httpx.AsyncClient,
    content: bytes,
    headers: dict[str, str],
    message: str,
    where: tuple[str | None, str | None],
) -> None:
    response = await client.post(PATH, content=content, headers=headers)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["message"].startswith(message)
    assert (error["param"], error["code"]) == where


@pytest.mark.parametrize("size", [1000, 1001])
async def test_the_size_at_the_limit_and_past(client: httpx.AsyncClient, script: Script, size: int) -> None:
    response = await client.post(PATH, files={"file": ("x", b"x" * size)})
    assert response.status_code == (200 if size == 1000 else 413)
    assert len(script.stored) == (1 if size == 1000 else 0)


async def test_a_file_announced_too_large_is_told_its_own_limit(client: httpx.AsyncClient, script: Script) -> None:
    response = await client.post(PATH, files={"file": ("x", b"x" * (2 << 20))})
    assert response.status_code == 413
    error = response.json()["error"]
    assert (error["message"], error["param"]) == ("The file is too large: at most 1000 bytes can be uploaded.", "file")
    assert script.asked == []


async def test_a_body_announced_too_large_is_refused_at_once(address: Address, script: Script) -> None:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    head = f"POST {PATH} HTTP/1.1\r\nHost: a\r\napi-key: {KEY}\r\nContent-Length: 99999999999\r\n"
    writer.write(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n".encode())
    async with asyncio.timeout(PATIENCE_S):
        answer = await reader.readuntil(b"\r\n")
    assert answer == b"HTTP/1.1 413 Request Entity Too Large\r\n" or b" 413 " in answer
    assert script.asked == []
    writer.close()
    await writer.wait_closed()


async def test_chunked_transfer_of_a_net_client(address: Address, script: Script) -> None:
    """Unquoted names, a quoted boundary, chunks that cut everywhere: System.Net.Http."""
    body = (
        b"--0f\r\nContent-Disposition: form-data; name=file; filename=x.txt; filename*=utf-8''x.txt\r\n\r\n"
        b"hello\r\n--0f--\r\n"
    )
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(body[i : i + 3]), body[i : i + 3]) for i in range(0, len(body), 3))
    head = f"POST {PATH} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\nTransfer-Encoding: chunked\r\n"
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(f'{head}Content-Type: multipart/form-data; boundary="0f"\r\n\r\n'.encode() + chunks + b"0\r\n\r\n")
    async with asyncio.timeout(PATIENCE_S):
        assert b" 200 " in await reader.readuntil(b"\r\n")
    assert script.stored == {"x.txt": b"hello"}
    writer.close()
    await writer.wait_closed()


async def test_an_upload_that_breaks_off_stores_nothing(address: Address, script: Script) -> None:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    head = f"POST {PATH} HTTP/1.1\r\nHost: a\r\napi-key: {KEY}\r\nContent-Length: 500\r\n"
    writer.write(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode() + part("file", b"hel")[:-2])
    async with asyncio.timeout(PATIENCE_S):
        async with httpx.AsyncClient(base_url=address.url, headers={"api-key": KEY}, trust_env=False) as client:
            while ("put", "upload") not in script.asked:
                await client.get("/health")
            writer.close()
            while True:
                if 'status="499"' in (await client.get("/metrics")).text:
                    break
    assert script.stored == {}
    await writer.wait_closed()
    del reader


@pytest.mark.parametrize(
    ("path", "kind"),
    [(PATH, "multipart/form-data; boundary=b"), (PATH, "application/json"), ("/mcp", "application/json")],
)
async def test_an_upload_that_stalls_is_hung_up_on(script: Script, path: str, kind: str) -> None:
    async with serving(scripted_app(script, body_piece_s_max=0.1)) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: a\r\napi-key: {KEY}\r\nContent-Type: {kind}\r\nContent-Length: 500\r\n\r\n"
        )
        writer.write(head.encode() + part("file", b"hel")[:-2])
        async with asyncio.timeout(60):
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()
        with suppress(ConnectionResetError):
            await writer.wait_closed()
    assert script.asked == ([("put", "upload")] if "form" in kind else [])
    assert script.stored == {}


@pytest.mark.parametrize("order", ["purpose first", "file first"])
async def test_a_project_file_in_any_order(client: httpx.AsyncClient, script: Script, order: str) -> None:
    texts = (
        part("purpose", b"user_data")
        + part("expires_after[anchor]", b"created_at")
        + part("expires_after[seconds]", b"3600")
    )
    file = part("file", b"hello", '; filename="a.txt"')
    body = texts + file if order == "purpose first" else file + texts
    response = await client.post("/v1/files", content=body + END, headers=FORM)
    assert list(response.json()) == [
        "object", "id", "purpose", "filename", "bytes", "created_at", "expires_at", "status", "status_details",
    ]  # fmt: skip
    assert script.asked == [("create", ("a.txt", FileDescription("user_data", 3600)))]
    assert script.stored == {"a.txt": b"hello"}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (part("purpose", b"user_data"), "Missing required parameter: 'file'."),
        (part("file", b"x"), "Missing required parameter: 'purpose'."),
        (part("file", b"x") + part("purpose", b"fun"), "Invalid value: 'fun'. Supported values are: 'assistants', "),
        (
            part("file", b"x") + part("purpose", b"vision") + part("expires_after[anchor]", b"created_at"),
            "Missing required parameter: 'expires_after.seconds'.",
        ),
        (
            part("file", b"x")
            + part("purpose", b"vision")
            + part("expires_after[anchor]", b"now")
            + part("expires_after[seconds]", b"3600"),
            "Invalid value: 'now'. Supported values are: 'created_at'.",
        ),
        (
            part("file", b"x")
            + part("purpose", b"vision")
            + part("expires_after[anchor]", b"created_at")
            + part("expires_after[seconds]", b"soon"),
            "Invalid type for 'expires_after.seconds': expected an integer, but got a string instead.",
        ),
    ],
)
async def test_a_project_file_that_is_not_described(
    client: httpx.AsyncClient, script: Script, parts: bytes, message: str
) -> None:
    response = await client.post("/v1/files", content=parts + END, headers=FORM)
    assert response.status_code == 400
    assert response.json()["error"]["message"].startswith(message)
    assert script.asked == []


async def test_a_project_file_is_sent_as_a_form(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/files", json={"purpose": "user_data"})
    assert response.status_code == 400
    assert "multipart/form-data" in response.json()["error"]["message"]


@pytest.mark.parametrize("size", [16 * 1024 * 1024, 16 * 1024 * 1024 + 1])
async def test_a_json_body_at_the_limit_and_past(client: httpx.AsyncClient, size: int) -> None:
    body = json.dumps({"name": "a"}).encode().ljust(size)
    announced = await client.post("/v1/containers", content=body)

    async def pieces() -> Any:
        yield body[: size // 2]
        yield body[size // 2 :]

    chunked = await client.post("/v1/containers", content=pieces())
    assert [announced.status_code, chunked.status_code] == ([200, 200] if size == 16 * 1024 * 1024 else [413, 413])
