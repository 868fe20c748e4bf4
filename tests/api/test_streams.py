"""Calls and downloads while they run: streamed, kept alive, interrupted when nobody waits any more."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from atoll.api.errors import ClientGoneError
from atoll.api.patient_send import send_body
from atoll.api.sse import EventStream
from atoll.api.watch import while_connected
from atoll.api.wire import PythonLogsDelta
from atoll.model.calls import CallStarted, Html, Image, Logs, PythonEnded, PythonEvent
from atoll.model.errors import BusyError, SandboxFailedError
from atoll.model.ids import CallId
from tests.api.contract import events
from tests.api.scripted import CONTAINER_FILE, CONTAINER_ID, FILE_ID, KEY, Script, scripted_app
from tests.api.serving import Address, serving
from tests.unit.service.world import eventually

PATH = f"/v1/containers/{CONTAINER_ID}/code_interpreter_calls"
STARTED = CallStarted(CallId("ci_1"))
PATIENCE_S = 10


async def scripted_call() -> AsyncGenerator[PythonEvent, None]:
    yield STARTED
    yield Logs("a")
    yield Logs("b\n")
    yield Image("image/png", base64.b64encode(b"\x89PNG"))
    yield Logs("c")
    yield PythonEnded(status="completed", files=(CONTAINER_FILE,))


class Endless:
    """A call that never ends by itself."""

    def __init__(self) -> None:
        self.running = asyncio.Event()

    async def __call__(self) -> AsyncGenerator[PythonEvent, None]:
        yield STARTED
        yield Logs("hello\n")
        self.running.set()
        await asyncio.Event().wait()


async def test_a_whole_call(client: httpx.AsyncClient, script: Script) -> None:
    script.python = scripted_call
    response = await client.post(PATH, json={"code": "x", "timeout_ms": 5})
    assert list(response.json()) == ["id", "type", "status", "code", "container_id", "outputs", "files"]
    assert response.json()["outputs"] == [
        {"type": "logs", "logs": "ab\n"},
        {"type": "image", "url": "data:image/png;base64,iVBORw=="},
        {"type": "logs", "logs": "c"},
    ]
    assert response.json()["files"][0]["id"] == FILE_ID


async def test_html_is_an_output_of_its_own_for_those_who_ask(client: httpx.AsyncClient, script: Script) -> None:
    async def call() -> AsyncGenerator[PythonEvent, None]:
        yield STARTED
        yield Html("<b>\u2028</b>")
        yield PythonEnded(status="completed", files=())

    script.python = call
    whole = await client.post(PATH, json={"code": "x", "html": True})
    assert whole.json()["outputs"] == [{"type": "html", "html": "<b>\u2028</b>"}]
    streamed = events((await client.post(PATH, json={"code": "x", "html": True, "stream": True})).text)
    assert (streamed[2]["type"], streamed[2]["html"]) == (
        "response.code_interpreter_call_html.added",
        "<b>\u2028</b>",
    )
    await client.post(PATH, json={"code": "x"})
    assert [asked.html for _, asked in script.asked] == [True, True, False]


async def test_a_streamed_call(client: httpx.AsyncClient, script: Script) -> None:
    script.python = scripted_call
    response = await client.post(PATH, json={"code": "x", "stream": True})
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "content-length" not in response.headers
    told = events(response.text)
    assert [event["sequence_number"] for event in told] == list(range(8))
    assert [event["type"].removeprefix("response.") for event in told] == [
        "code_interpreter_call.in_progress",
        "code_interpreter_call.interpreting",
        "code_interpreter_call_logs.delta",
        "code_interpreter_call_logs.delta",
        "code_interpreter_call_image.added",
        "code_interpreter_call_logs.delta",
        "code_interpreter_call.completed",
        "output_item.done",
    ]
    whole = await client.post(PATH, json={"code": "x"})
    assert told[-1]["item"] == whole.json()
    first = response.text.split("\n")[0]
    assert first == "event: response.code_interpreter_call.in_progress"


PICTURE = b"\x89PNG" + bytes(range(256)) * 8000
TEXT = 'a \\ " \n\x01 \x7f \u20ac \U0001f600 ' * 10_000


async def large_call() -> AsyncGenerator[PythonEvent, None]:
    yield STARTED
    yield Logs(TEXT)
    yield Image("image/png", base64.b64encode(PICTURE))
    yield Logs(TEXT)
    yield Logs(TEXT)
    yield PythonEnded(status="completed", files=())


async def test_large_output_comes_whole_and_is_let_go_of(client: httpx.AsyncClient, script: Script) -> None:
    script.python = large_call
    response = await client.post(PATH, json={"code": "x"})
    picture = "data:image/png;base64," + base64.b64encode(PICTURE).decode()
    assert response.json()["outputs"] == [
        {"type": "logs", "logs": TEXT},
        {"type": "image", "url": picture},
        {"type": "logs", "logs": TEXT + TEXT},
    ]
    assert script.answers.taken_bytes == 0
    told = events((await client.post(PATH, json={"code": "x", "stream": True})).text)
    assert [event["delta"] for event in told if "delta" in event] == [TEXT] * 3
    assert [event["url"] for event in told if "url" in event] == [picture]
    assert told[-1]["item"] == response.json()
    assert script.answers.taken_bytes == 0


@pytest.mark.parametrize("stream", [True, False])
async def test_what_is_held_counts_until_the_client_goes(address: Address, script: Script, stream: bool) -> None:
    more = asyncio.Event()

    async def held() -> AsyncGenerator[PythonEvent, None]:
        async for event in large_call():
            if isinstance(event, PythonEnded):
                await more.wait()
            yield event

    script.python = held
    body = json.dumps({"code": "x", "stream": stream}).encode()
    _, writer = await asyncio.open_connection(address.host, address.port, limit=1)
    head = f"POST {PATH} HTTP/1.1\r\nHost: a\r\napi-key: {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await eventually(lambda: script.answers.taken_bytes >= len(PICTURE))
    writer.close()
    await eventually(lambda: script.closed.is_set() and not script.answers.taken_bytes)
    await writer.wait_closed()


async def test_a_client_that_does_not_read_its_answer_is_left() -> None:
    async def send(_: object) -> None:
        await asyncio.Event().wait()

    with pytest.raises(ClientGoneError):
        await send_body(send, b"x", more=False, within_s=0.001)


async def test_events_leave_as_they_happen(address: Address, script: Script) -> None:
    script.python = Endless()
    async with (
        httpx.AsyncClient(base_url=address.url, headers={"api-key": KEY}, trust_env=False) as client,
        client.stream("POST", PATH, json={"code": "x", "stream": True}) as response,
    ):
        async with asyncio.timeout(PATIENCE_S):
            async for line in response.aiter_lines():
                if "hello" in line:
                    break
        assert not script.closed.is_set()
    async with asyncio.timeout(PATIENCE_S):
        await script.closed.wait()


@pytest.mark.parametrize("stream", [True, False])
async def test_the_client_going_away_closes_the_call(address: Address, script: Script, stream: bool) -> None:
    endless = script.python = Endless()
    body = json.dumps({"code": "x", "stream": stream}).encode()
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(
        b"POST %b HTTP/1.1\r\nHost: a\r\napi-key: %b\r\nContent-Length: %d\r\n\r\n%b"
        % (PATH.encode(), KEY.encode(), len(body), body)
    )
    async with asyncio.timeout(PATIENCE_S):
        await endless.running.wait()
        writer.close()
        await script.closed.wait()
    await writer.wait_closed()
    del reader
    async with httpx.AsyncClient(base_url=address.url, headers={"api-key": KEY}, trust_env=False) as client:
        counted = (await client.get("/metrics")).text
    assert 'atoll_calls_running{kind="python"} 0.0' in counted
    assert 'atoll_calls_total{cause="client",kind="python",status="aborted"} 1.0' in counted


async def test_what_goes_wrong_before_the_first_event_is_an_ordinary_error(
    client: httpx.AsyncClient, script: Script
) -> None:
    script.error = BusyError("Full.", retry_after_s=3)
    for stream in (True, False):
        response = await client.post(PATH, json={"code": "x", "stream": stream})
        assert (response.status_code, response.headers["retry-after"]) == (429, "3")


async def test_what_goes_wrong_later_is_an_event(client: httpx.AsyncClient, script: Script) -> None:
    async def failing() -> AsyncGenerator[PythonEvent, None]:
        yield STARTED
        raise SandboxFailedError("The sandbox is gone.")

    script.python = failing
    response = await client.post(PATH, json={"code": "x", "stream": True})
    assert response.status_code == 200
    assert response.text.split("\n\n")[2].split("\n")[0] == "event: error"
    assert events(response.text)[2] == {
        "type": "error",
        "sequence_number": 2,
        "message": "The sandbox is gone.",
        "code": "sandbox_failed",
        "param": None,
    }
    assert (await client.post(PATH, json={"code": "x"})).status_code == 500


async def test_a_quiet_stream_is_kept_alive() -> None:
    go_on = asyncio.Event()
    sent: list[bytes] = []

    async def quiet() -> AsyncGenerator[PythonLogsDelta, None]:
        await go_on.wait()
        yield PythonLogsDelta(sequence_number=0, item_id="ci_1", delta="x")

    async def receive() -> dict[str, str]:
        await asyncio.Event().wait()
        return {}

    async def send(message: dict[str, object]) -> None:
        body = message.get("body")
        if isinstance(body, bytes):
            sent.append(body)
        if len(sent) == 3:
            go_on.set()

    stream = EventStream(quiet(), keep_alive_s=0.001)
    await stream({"type": "http"}, receive, send)  # type: ignore[arg-type]  # as much of ASGI as is used
    assert sent[:3] == [b": keep-alive\n\n"] * 3
    assert sent[-2].startswith(b"event: response.code_interpreter_call_logs.delta\ndata: {")
    assert sent[-1] == b""


async def test_work_is_seen_to_its_end_when_nobody_waits() -> None:
    cleaned = False

    async def work() -> None:
        nonlocal cleaned
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(3):
                await asyncio.sleep(0)
            cleaned = True

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientGoneError):
        await while_connected(receive, work())  # type: ignore[arg-type]  # as much of ASGI as is used
    assert cleaned


async def test_the_end_of_the_server_answers_calls_that_take_too_long(script: Script, tmp_path: Path) -> None:
    endless = script.python = Endless()
    async with httpx.AsyncClient(headers={"api-key": KEY}, trust_env=False, timeout=PATIENCE_S) as client:
        async with serving(scripted_app(script)) as address:
            waiting = asyncio.create_task(client.post(address.url + PATH, json={"code": "x"}))
            await endless.running.wait()
        response = await waiting
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "server_stopping"
    assert response.headers["x-should-retry"] == "false"
    assert script.closed.is_set()


@pytest.mark.parametrize(
    ("given", "status", "body", "content_range"),
    [
        (None, 200, b"hello", None),
        ("bytes=0-", 206, b"hello", "bytes 0-4/5"),
        ("bytes=1-2", 206, b"el", "bytes 1-2/5"),
        ("Bytes = 1 - 2", 206, b"el", "bytes 1-2/5"),
        ("bytes=4-400", 206, b"o", "bytes 4-4/5"),
        ("bytes=-2", 206, b"lo", "bytes 3-4/5"),
        ("bytes=-99", 206, b"hello", "bytes 0-4/5"),
        ("bytes=5-", 416, None, "bytes */5"),
        ("bytes=-0", 416, None, "bytes */5"),
        ("bytes=0-1,3-4", 200, b"hello", None),
        ("bytes=2-1", 200, b"hello", None),
        ("bytes=-", 200, b"hello", None),
        ("bytes=a-b", 200, b"hello", None),
        ("lines=1-2", 200, b"hello", None),
        ("bytes=" + "9" * 30 + "-", 200, b"hello", None),
    ],
)
async def test_ranges(
    client: httpx.AsyncClient, given: str | None, status: int, body: bytes | None, content_range: str | None
) -> None:
    headers = {"accept": "application/binary", **({"range": given} if given else {})}
    for path in (f"/v1/containers/{CONTAINER_ID}/files/{FILE_ID}/content", "/v1/files/file-1/content"):
        response = await client.get(path, headers=headers)
        assert response.status_code == status
        assert response.headers["accept-ranges"] == "bytes"
        assert response.headers.get("content-range") == content_range
        if body is None:
            assert response.json()["error"]["code"] == "range_not_satisfiable"
        else:
            assert response.content == body
            assert response.headers["content-length"] == str(len(body))
        whole = await client.get(path, headers={**headers, "if-range": '"etag"'})
        assert (whole.status_code, whole.content) == (200, b"hello")


@pytest.mark.parametrize(
    ("name", "content_type", "disposition"),
    [
        ("a.txt", "text/plain; charset=utf-8", "attachment; filename=\"a.txt\"; filename*=UTF-8''a.txt"),
        ("a.json", "application/json; charset=utf-8", None),
        ("chart.PNG", "image/png", None),
        ("a.csv", "text/csv; charset=utf-8", None),
        ("a.tar.gz", "application/octet-stream", None),
        ("noextension", "application/octet-stream", None),
        (
            'na"ï\\\r\nve €.txt',
            "text/plain; charset=utf-8",
            "attachment; filename=\"na_____ve _.txt\"; filename*=UTF-8''na%22%C3%AF%5C%0D%0Ave%20%E2%82%AC.txt",
        ),
    ],
)
async def test_how_a_download_is_named(
    client: httpx.AsyncClient, script: Script, name: str, content_type: str, disposition: str | None
) -> None:
    script.content_name = name
    response = await client.get("/v1/files/file-1/content")
    assert response.headers["content-type"] == content_type
    if disposition is not None:
        assert response.headers["content-disposition"] == disposition


async def test_head_of_a_download_reads_nothing(wire_client: httpx.AsyncClient, script: Script) -> None:
    client = wire_client
    response = await client.head("/v1/files/file-1/content", headers={"range": "bytes=1-2"})
    assert (response.status_code, response.headers["content-length"]) == (206, "2")
    assert response.headers["content-range"] == "bytes 1-2/5"
    script.content = b""
    empty = await client.get("/v1/files/file-1/content")
    assert (empty.status_code, empty.headers["content-length"], empty.content) == (200, "0", b"")


async def test_a_download_that_fails_before_its_first_byte_is_an_error(
    client: httpx.AsyncClient, script: Script
) -> None:
    script.content_fails_after = 0
    assert (await client.get("/v1/files/file-1/content")).status_code == 500


async def test_a_download_that_fails_later_is_broken_off(wire_client: httpx.AsyncClient, script: Script) -> None:
    script.content_fails_after = 2
    with pytest.raises(httpx.RemoteProtocolError):
        await wire_client.get("/v1/files/file-1/content")
    assert script.closed.is_set()


async def test_a_download_that_nobody_reads_any_more_is_closed(address: Address, script: Script) -> None:
    script.content = b"x" * 2_000_000
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(b"GET /v1/files/file-1/content HTTP/1.1\r\nHost: a\r\napi-key: %b\r\n\r\n" % KEY.encode())
    async with asyncio.timeout(PATIENCE_S):
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()
        await script.closed.wait()
