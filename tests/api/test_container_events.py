"""The stream of a container's events, on a real port and on made-up events."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from litestar.types import ASGIApp

from atoll.api.edge import Edge
from atoll.api.errors import ClientGoneError
from atoll.api.live_events import LiveEvents
from atoll.api.metrics import Metrics
from atoll.model.container_events import (
    CallBegan,
    CallFinished,
    ContainerCreated,
    ContainerDeleted,
    ContainerExpired,
    ContainerExpiring,
    ContainerUpdated,
    FileChanged,
    LimitHit,
    NetworkRefused,
)
from atoll.model.errors import ContainerExpiredError, NotFoundError
from atoll.service.events import EventReader, Events
from tests.api.contract import events
from tests.api.scripted import CONTAINER, CONTAINER_ID, KEY, Script
from tests.api.serving import Address, serving

PATH = f"/v1/containers/{CONTAINER_ID}/events"
BOOT = "0" * 8


async def test_every_kind_of_event_is_as_promised(client: httpx.AsyncClient, script: Script) -> None:
    for event in (
        ContainerCreated(),
        ContainerUpdated(("name",)),
        ContainerExpiring(5.5),
        CallBegan("ci_1", "code_interpreter"),
        FileChanged("/mnt/data/é", "created", 3, "assistant"),
        LimitHit("memory", "ci_1"),
        CallFinished("ci_1", "code_interpreter", "memory", 12),
        NetworkRefused("a.com", 443, "name_not_allowed"),
    ):
        script.events.tell(CONTAINER.id, event)
    reading = asyncio.create_task(client.get(PATH, params={"after": "start"}))
    await until(lambda: script.asked)
    script.events.end(CONTAINER.id, ContainerDeleted())
    answer = await reading
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    told = events(answer.text)
    assert [event["id"] for event in told] == [f"{BOOT}-{number}" for number in range(1, 10)]
    assert answer.text.startswith(f"id: {BOOT}-0\nid: {BOOT}-1\nevent: container.created\ndata: {{")
    assert [(event.pop("type"), event) for event in bare(told)] == [
        ("container.created", {}),
        ("container.updated", {"fields": ["name"]}),
        ("container.expiring", {"expires_at": 5.5}),
        ("call.started", {"call_id": "ci_1", "kind": "code_interpreter"}),
        ("file.changed", {"path": "/mnt/data/é", "change": "created", "bytes": 3, "source": "assistant"}),
        ("limit.hit", {"limit": "memory", "call_id": "ci_1"}),
        ("call.ended", {"call_id": "ci_1", "kind": "code_interpreter", "outcome": "memory", "duration_ms": 12}),
        ("network.refused", {"name": "a.com", "port": 443, "reason": "name_not_allowed"}),
        ("container.deleted", {}),
    ]


@pytest.mark.parametrize(
    ("given", "numbers"), [("", [4]), ("start", [1, 2, 3, 4]), (f"{BOOT}-2", [3, 4]), (f"{BOOT}-3", [4])]
)
async def test_a_stream_goes_on_where_it_is_told_to(
    client: httpx.AsyncClient, script: Script, given: str, numbers: list[int]
) -> None:
    for _ in range(3):
        script.events.tell(CONTAINER.id, ContainerUpdated(("name",)))
    headers = {"last-event-id": given} if given else {}
    # A browser that connects again asks for the same address as before.
    reading = asyncio.create_task(client.get(PATH, headers=headers, params={"after": "start"} if given else {}))
    await until(lambda: script.asked)
    script.events.end(CONTAINER.id, ContainerExpired())
    assert [event["id"] for event in events((await reading).text)] == [f"{BOOT}-{number}" for number in numbers]


async def test_an_id_of_a_server_before_tells_that_events_were_missed(
    client: httpx.AsyncClient, script: Script
) -> None:
    script.events.tell(CONTAINER.id, ContainerCreated())
    reading = asyncio.create_task(client.get(PATH, headers={"last-event-id": "0123abcd-77"}))
    await until(lambda: script.asked)
    script.events.end(CONTAINER.id, ContainerExpired())
    told = events((await reading).text)
    assert [(event["type"], event["id"]) for event in told] == [
        ("events.missed", f"{BOOT}-0"),
        ("container.created", f"{BOOT}-1"),
        ("container.expired", f"{BOOT}-2"),
    ]
    assert told[0]["count"] == 0


@pytest.mark.parametrize(
    "given", ["x", "-1", f"{BOOT}", f"{BOOT}-", f"{BOOT}--1", f"{BOOT}-1", f"{BOOT}-{'9' * 30}", "½"]
)
@pytest.mark.parametrize("where", ["after", "Last-Event-ID"])
async def test_an_id_that_was_never_given_is_refused(client: httpx.AsyncClient, given: str, where: str) -> None:
    if where == "after":
        answer = await client.get(PATH, params={"after": given})
    else:
        answer = await client.get(PATH, headers={where.encode(): given.encode()})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == where


@pytest.mark.parametrize(("error", "status"), [(NotFoundError("no"), 404), (ContainerExpiredError(), 400)])
async def test_what_keeps_a_stream_from_beginning(
    client: httpx.AsyncClient, script: Script, error: Exception, status: int
) -> None:
    script.error = error
    assert (await client.get(PATH)).status_code == status


async def test_a_head_has_an_end(wire_client: httpx.AsyncClient) -> None:
    answer = await wire_client.head(PATH)
    assert answer.status_code == 200


async def test_an_event_comes_as_it_happens_and_the_end_of_the_server_ends_the_stream(
    address: Address, script: Script
) -> None:
    async with opened(address) as stream:
        script.events.tell(CONTAINER.id, CallBegan("ci_1", "shell"))
        data = await first(stream, "data: ")
        assert json.loads(data)["call_id"] == "ci_1"
        address.server.should_exit = True
        assert [line async for line in stream if line] == []
    assert not open_streams(address)


@pytest.mark.parametrize("ends", ["slow", "server"])
async def test_nobody_waits_for_a_client_that_does_not_read(ends: str) -> None:
    watched = Events(boot=BOOT)
    readers: list[EventReader] = []
    count = Metrics().event_stream()

    @asynccontextmanager
    async def reading() -> AsyncIterator[EventReader]:
        with watched.reading(CONTAINER.id, None) as reader:
            readers.append(reader)
            yield reader

    def told() -> int:
        for _ in range(100):
            watched.tell(CONTAINER.id, FileChanged("/mnt/data/" + "x" * 200, "created", 0, "user"))
        return watched.newest(CONTAINER.id)

    live = LiveEvents(reading(), CONTAINER_ID, BOOT, count, piece_s_max=0.1 if ends == "slow" else 3600.0)
    # Nothing but what is tested ends the connection while this waits for it.
    app = Edge(without_lifespan(live), Metrics())
    async with serving(app, shutdown_grace_s=3600) as address, deaf_client(address):
        await until(lambda: readers and told() - readers[0].place > 10_000)
        if ends == "server":
            watched.close()
        await until(lambda: not open_streams(address))
    assert count.ended == "slow"


async def test_the_servers_end_in_the_moment_in_which_a_slow_client_is_given_up() -> None:
    watched = Events(boot=BOOT)
    count = Metrics().event_stream()

    @asynccontextmanager
    async def reading() -> AsyncIterator[EventReader]:
        with watched.reading(CONTAINER.id, None) as reader:
            yield reader

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            try:
                await asyncio.Event().wait()
            finally:
                watched.close()

    live = LiveEvents(reading(), CONTAINER_ID, BOOT, count, piece_s_max=0.01)
    scope: Any = {"type": "http", "method": "GET"}
    with pytest.raises(ClientGoneError):
        await live(scope, asyncio.Event().wait, send)  # type: ignore[arg-type] # nothing ever comes
    assert count.ended == "slow"


async def test_a_quiet_stream_says_so_without_ending_an_event_that_has_no_data() -> None:
    watched = Events(boot=BOOT)
    sent: list[bytes] = []

    @asynccontextmanager
    async def reading() -> AsyncIterator[EventReader]:
        with watched.reading(CONTAINER.id, None) as reader:
            yield reader

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))
        if len(sent) == 4:
            watched.end(CONTAINER.id, ContainerExpired())

    live = LiveEvents(reading(), CONTAINER_ID, BOOT, Metrics().event_stream(), keep_alive_s=0.01)
    scope: Any = {"type": "http", "method": "GET"}
    await live(scope, asyncio.Event().wait, send)  # type: ignore[arg-type] # nothing ever comes
    assert sent[:4] == [b"", f"id: {BOOT}-0\n".encode(), b": still here\n", b": still here\n"]
    assert sent[-2].endswith(b"}\n\n")


async def test_a_reader_that_was_too_slow_is_told_how_much_it_missed(client: httpx.AsyncClient, script: Script) -> None:
    reading = asyncio.create_task(client.get(PATH))
    await until(lambda: script.asked)
    for _ in range(2000):
        script.events.tell(CONTAINER.id, ContainerCreated())
    script.events.end(CONTAINER.id, ContainerDeleted())
    told = events((await reading).text)
    assert told[0]["type"] == "events.missed"
    assert told[0]["count"] + len(told) - 1 == 2001
    assert told[1]["id"] == f"{BOOT}-{told[0]['count'] + 1}"
    assert told[0]["id"] == f"{BOOT}-{told[0]['count']}"


@asynccontextmanager
async def opened(address: Address) -> AsyncIterator[Any]:
    """Open a stream on a socket of its own; gives its lines once it has begun."""
    async with (
        httpx.AsyncClient(base_url=address.url, headers={"authorization": f"Bearer {KEY}"}, trust_env=False) as client,
        client.stream("GET", PATH) as answer,
    ):
        assert answer.status_code == 200
        lines = answer.aiter_lines()
        assert (await anext(lines)).startswith("id: ")
        yield lines


def bare(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Take off what all events have."""
    return [{key: event[key] for key in event if key not in {"id", "container_id", "at"}} for event in told]


async def first(lines: AsyncIterator[str], start: str) -> str:
    """Give the rest of the first line that begins so."""
    async for line in lines:
        if line.startswith(start):
            return line.removeprefix(start)
    raise AssertionError("the stream has ended")


@asynccontextmanager
async def deaf_client(address: Address) -> AsyncIterator[None]:
    """Ask for a stream on a connection that is never read from."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect((address.host, address.port))
        sock.sendall(f"GET {PATH} HTTP/1.1\r\nhost: atoll.test\r\n\r\n".encode())
        await until(lambda: open_streams(address))
        yield


def without_lifespan(app: ASGIApp) -> ASGIApp:
    """Give an application that needs no beginning and no end."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})

    return serve


def open_streams(address: Address) -> int:
    """Count the connections that the server has."""
    return len(address.server.server_state.connections)


async def until(condition: Callable[[], object]) -> None:
    """Let the others go on until something is so."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - nobody says when
            await asyncio.sleep(0.001)
