"""Containers as a model's tools, with the protocol's official client: over HTTP and as a program of one's own."""

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import BlobResourceContents, CallToolResult, EmbeddedResource, ImageContent, TextContent

from tests.harness.api import Api
from tests.harness.poll import wait_until
from tests.harness.server import AtollServer

TOOLS = {
    "create_container",
    "list_containers",
    "delete_container",
    "run_python",
    "run_shell",
    "list_files",
    "read_file",
    "write_file",
}
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

Connect = Callable[[str], AbstractAsyncContextManager[Client]]


def over_http(server: AtollServer) -> Connect:
    @asynccontextmanager
    async def connect(key: str) -> AsyncIterator[Client]:
        headers = {"Authorization": f"Bearer {key}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http,
            Client(streamable_http_client(server.base_url.removesuffix("/v1") + "/mcp", http_client=http)) as client,
        ):
            yield client

    return connect


def as_program(server: AtollServer) -> Connect:
    def connect(key: str) -> AbstractAsyncContextManager[Client]:
        environment = {**server.environment, "ATOLL_API_KEY": key, "ATOLL_BASE_URL": server.base_url}
        return Client(
            StdioServerParameters(
                command=sys.executable, args=["-m", "atoll.operate.main", "mcp"], env=environment, cwd=server.home
            )
        )

    return connect


@pytest.fixture(params=[over_http, as_program])
def connect(request: pytest.FixtureRequest, oci_server: AtollServer) -> Connect:
    made: Connect = request.param(oci_server)
    return made


@pytest.fixture
def client(connect: Connect, oci_server: AtollServer) -> AbstractAsyncContextManager[Client]:
    return connect(oci_server.api_key)


def text_of(result: CallToolResult, *, is_error: bool = False) -> str:
    text = "\n".join(part.text for part in result.content if isinstance(part, TextContent))
    assert bool(result.is_error) == is_error, text
    return text


async def test_the_tools_are_told(client: AbstractAsyncContextManager[Client]) -> None:
    async with client as mcp:
        listed = (await mcp.list_tools()).tools
        assert {tool.name for tool in listed} == TOOLS
        assert all(tool.description and "context" not in str(tool.input_schema) for tool in listed)
        assert "/mnt/data" in (mcp.instructions or "")


async def test_from_nothing_to_a_figure(client: AbstractAsyncContextManager[Client], oci_api: Api) -> None:
    async with client as mcp:
        created = json.loads(text_of(await mcp.call_tool("create_container", {"name": "of a model"})))
        box = created["id"]
        listed = json.loads(text_of(await mcp.call_tool("list_containers", {"name": "of a model"})))
        assert box in [item["id"] for item in listed["containers"]]

        written = await mcp.call_tool(
            "write_file", {"container_id": box, "name": "a.csv", "content": "x,y\n1,2\n3,4\n"}
        )
        assert "/mnt/data/a.csv is written (12 bytes)" in text_of(written)
        code = "import pandas as pd\nframe = pd.read_csv('a.csv')\nframe.plot()\nframe['y'].sum()"
        ran = await mcp.call_tool("run_python", {"container_id": box, "code": code})
        assert "6" in text_of(ran)
        (image,) = [part for part in ran.content if isinstance(part, ImageContent)]
        assert image.mime_type == "image/png"
        assert base64.b64decode(image.data).startswith(b"\x89PNG")
        assert "2\n" in text_of(await mcp.call_tool("run_python", {"container_id": box, "code": "print(len(frame))"}))

        shell = await mcp.call_tool("run_shell", {"container_id": box, "command": "cat a.csv; echo no >&2; exit 3"})
        assert text_of(shell) == "x,y\n1,2\n3,4\n[stderr]\nno\n[exit code 3]"
        deleted = await mcp.call_tool("delete_container", {"container_id": box})
        assert box in text_of(deleted)
        assert oci_api.send("GET", f"/containers/{box}").status_code == 404


async def test_files_of_every_kind(client: AbstractAsyncContextManager[Client], container: str) -> None:
    large = "print('ü' * 900_000, end='', file=open('large.txt', 'w'))"
    async with client as mcp:

        async def read(path: str) -> CallToolResult:
            return await mcp.call_tool("read_file", {"container_id": container, "path": path})

        for name, data in (("dot.png", PNG), ("bytes.bin", b"\xff\x00\xfe")):
            given = {"container_id": container, "name": name, "content": base64.b64encode(data).decode()}
            text_of(await mcp.call_tool("write_file", {**given, "encoding": "base64"}))
        (image,) = (await read("dot.png")).content
        assert isinstance(image, ImageContent)
        assert base64.b64decode(image.data) == PNG
        (blob,) = (await read("/mnt/data/bytes.bin")).content
        assert isinstance(blob, EmbeddedResource)
        assert isinstance(blob.resource, BlobResourceContents)
        assert base64.b64decode(blob.resource.blob) == b"\xff\x00\xfe"

        text_of(await mcp.call_tool("run_python", {"container_id": container, "code": large}))
        beginning, cut = (await read("large.txt")).content
        assert isinstance(beginning, TextContent)
        assert beginning.text == "ü" * (1 << 19)
        assert isinstance(cut, TextContent)
        assert "first 1048576 of 1800000 bytes" in cut.text
        files = json.loads(text_of(await mcp.call_tool("list_files", {"container_id": container})))["files"]
        assert {file["path"] for file in files} == {
            f"/mnt/data/{name}" for name in ("dot.png", "bytes.bin", "large.txt")
        }


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("run_python", {"container_id": "cntr_" + "0" * 48, "code": "1"}, "not found"),
        ("run_python", {"container_id": "../files", "code": "1"}, "no container's id"),
        ("run_python", {"container_id": "{}"}, "code"),
        ("run_python", {"container_id": "{}", "code": "1", "timeout_s": -1}, "timeout_ms"),
        ("run_shell", {"container_id": "{}", "command": "id", "timeout_s": "nan"}, "timeout_s"),
        ("read_file", {"container_id": "{}", "path": "missing"}, "no file /mnt/data/missing"),
        ("write_file", {"container_id": "{}", "name": "../x", "content": ""}, "without folders"),
        ("write_file", {"container_id": "{}", "name": "x", "content": "%", "encoding": "base64"}, "no base64"),
        ("create_container", {"allowed_domains": ["https://x"]}, "allowed_domains"),
        ("create_container", {"memory_limit": "3g"}, "memory_limit"),
        ("no_such_tool", {}, "no_such_tool"),
    ],
)
async def test_what_cannot_be_is_told_to_the_model(
    oci_server: AtollServer, container: str, tool: str, arguments: dict[str, object], said: str
) -> None:
    given = {name: container if value == "{}" else value for name, value in arguments.items()}
    async with over_http(oci_server)(oci_server.api_key) as mcp:
        assert said in text_of(await mcp.call_tool(tool, given), is_error=True)
        assert "Traceback" not in said


async def test_a_traceback_is_output_and_no_error(client: AbstractAsyncContextManager[Client], container: str) -> None:
    async with client as mcp:
        assert "ZeroDivisionError" in text_of(
            await mcp.call_tool("run_python", {"container_id": container, "code": "1/0"})
        )


def test_without_a_key_nothing_is_told(oci_server: AtollServer) -> None:
    url = oci_server.base_url.removesuffix("/v1") + "/mcp"
    for headers in ({}, {"Authorization": "Bearer sk-wrong"}):
        answer = httpx2.post(url, headers=headers, json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        assert answer.status_code == 401
        assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_another_projects_containers_are_not_there(
    oci_server: AtollServer, connect: Connect, container: str
) -> None:
    key = oci_server.atoll("keys", "create", "--project", "other-of-mcp", "--name", "k").split()[-1]
    async with connect(key) as mcp:
        assert json.loads(text_of(await mcp.call_tool("list_containers", {})))["containers"] == []
        refused = await mcp.call_tool("run_shell", {"container_id": container, "command": "ls"})
        assert "not found" in text_of(refused, is_error=True)


async def test_a_client_that_goes_away_stops_its_code(
    oci_server: AtollServer, connect: Connect, container: str, oci_api: Api
) -> None:
    code = "while True: pass"

    async def call() -> None:
        async with connect(oci_server.api_key) as mcp:
            await mcp.call_tool("run_python", {"container_id": container, "code": code})

    def runs() -> bool:
        metrics = oci_api.send("GET", oci_server.base_url.removesuffix("/v1") + "/metrics").text
        return 'atoll_calls_running{kind="python"} 1.0' in metrics

    calling = asyncio.create_task(call())
    await asyncio.to_thread(wait_until, runs, what="the call's beginning")
    calling.cancel()
    await asyncio.wait([calling])
    assert await asyncio.to_thread(oci_api.logs, container, "1") == "1\n"
