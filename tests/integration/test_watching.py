"""Watching containers of a real server: what is told of real calls, what is measured, and readers of every bad kind."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.harness.api import Api
from tests.harness.events import Event, read_events
from tests.harness.poll import wait_until
from tests.harness.server import AtollServer, MakeServer
from tests.harness.tars import entry, tar_of
from tests.harness.terminal import Screen

BURN = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"


@pytest.fixture
def api(server: AtollServer) -> Api:
    """Give the client of each of the shared servers in turn."""
    return server.api()


@pytest.fixture
def box(api: Api) -> Iterator[str]:
    """Give a container of one's own on it."""
    container_id = api.create("watched")["id"]
    yield container_id
    api.send("DELETE", f"/containers/{container_id}")


@contextmanager
def watching(api: Api, container_id: str, last_id: str | None = None, **query: str) -> Iterator[Iterator[Event]]:
    """Give a container's events as they come."""
    headers = {} if last_id is None else {"last-event-id": last_id}
    with api.opened("GET", f"/containers/{container_id}/events", params=query, headers=headers) as answer:
        if answer.status_code != 200:
            answer.read()
        assert answer.status_code == 200, answer.text
        yield read_events(answer.iter_lines())


def stats(api: Api, container_id: str) -> dict[str, Any]:
    return api.call("GET", f"/containers/{container_id}/stats")


def kinds(events: Iterator[Event], last: str) -> list[tuple[str, ...]]:
    """Give types and what is telling of each, until one of ``last``."""
    told = []
    for event in events:
        data = event.data
        telling = ("kind", "outcome", "path", "change", "limit")
        told.append((event.name, *(data[name] for name in telling if name in data)))
        if event.name == last:
            return told
    raise AssertionError(f"the stream ended after {told}")


def test_what_is_told_of_real_calls(api: Api, box: str) -> None:
    with watching(api, box) as events:
        api.python(box, "open('a', 'w').write('1'); 1/0")
        api.shell(box, "echo 2 > a; rm -f b", "exit 3")
        api.process(box, "sh", "-c", "sleep 1000", timeout_ms=100)
        api.upload(box, "c", b"xyz")
        api.send("PUT", f"/containers/{box}/archive", content=tar_of(entry("c", b"abc")))
        with Screen(api.base_url, api.api_key, box) as screen:
            screen.attached()
        api.python(box, "while True: pass", timeout_ms=100)
        api.python(box, "print('x' * 30_000_000)")
        api.shell(box, "head -c 30000000 /dev/zero | tr '\\0' x")
        api.call("POST", f"/containers/{box}", json={"name": "other"})
        api.delete(box)
        told = kinds(events, "container.deleted")
        assert next(events, None) is None, "the stream has ended"
    assert [event for event in told if event[1:2] != ("terminal",)] == [
        ("call.started", "code_interpreter"),
        ("file.changed", "/mnt/data/a", "created"),
        ("call.ended", "code_interpreter", "completed"),
        ("call.started", "shell"),
        ("file.changed", "/mnt/data/a", "modified"),
        ("call.ended", "shell", "completed"),
        ("call.started", "process"),
        ("limit.hit", "time"),
        ("call.ended", "process", "timeout"),
        ("file.changed", "/mnt/data/c", "created"),
        ("file.changed", "/mnt/data/c", "modified"),
        ("call.started", "code_interpreter"),
        ("limit.hit", "time"),
        ("call.ended", "code_interpreter", "timeout"),
        ("call.started", "code_interpreter"),
        ("limit.hit", "output"),
        ("call.ended", "code_interpreter", "completed"),
        ("call.started", "shell"),
        ("limit.hit", "output"),
        ("call.ended", "shell", "completed"),
        ("container.updated",),
        ("container.deleted",),
    ]
    # When the server notices that a client of a terminal went is its own affair.
    assert [event for event in told if event[1:2] == ("terminal",)] == [
        ("call.started", "terminal"),
        ("call.ended", "terminal", "detached"),
    ]
    assert api.send("GET", f"/containers/{box}/events").status_code == 404


def test_a_disk_that_a_call_fills(oci_api: Api) -> None:
    box = oci_api.create("full")["id"]
    with watching(oci_api, box) as events:
        oci_api.shell(box, "head -c 300M /dev/zero > big")
        assert ("limit.hit", "disk") in kinds(events, "call.ended")
        oci_api.shell(box, "rm big")
        assert ("limit.hit", "disk") not in kinds(events, "call.ended")
    assert stats(oci_api, box)["disk"]["used_bytes"] < 100 << 20
    oci_api.delete(box)


def test_what_is_measured(server: AtollServer, api: Api, box: str) -> None:
    api.python(box, "1")
    before = stats(api, box)
    active_at = api.call("GET", "/containers", params={"limit": 1})["data"][0]["last_active_at"]
    api.python(box, f"{BURN}\nblock = bytearray(b'x') * (64 << 20)\nopen('big', 'wb').write(b'x' * (16 << 20))")
    api.shell(box, "sync")
    after: dict[str, Any] = {}

    def grown() -> bool:
        after.update(stats(api, box))
        return bool(after["memory"]["used_bytes"] > 64 << 20)

    wait_until(grown, what="memory that is seen")
    assert after["cpu"]["used_seconds"] - before["cpu"]["used_seconds"] > 0.25
    assert after["history"]
    assert after["history"][0]["at"] <= after["sampled_at"]
    assert after["processes"]["count"] > 0
    assert after["network"] is None
    if server.runtime == "oci":
        assert after["memory"]["limit_bytes"] == 1 << 30
        assert after["processes"]["limit"] == 256
        assert after["cpu"]["limit_cores"] > 0
        assert after["disk"]["limit_bytes"] == 256 << 20
        assert after["disk"]["used_bytes"] - before["disk"]["used_bytes"] > 15 << 20
    else:
        limits = [after[what][name] for what in ("memory", "disk") for name in after[what] if name != "used_bytes"]
        assert limits == [None, None]
    assert active_at <= api.retrieve(box)["last_active_at"]


def test_the_servers_end_waits_for_no_reader(make_server: MakeServer) -> None:
    server = make_server("plain", shutdown_grace_s=3600)
    api = server.api()
    container_id = api.create("outlives its server")["id"]
    request = f"GET /v1/containers/{container_id}/events HTTP/1.1\r\nhost: x\r\n"
    key = f"authorization: Bearer {server.api_key}\r\n\r\n"
    with socket.socket() as deaf, watching(api, container_id) as events:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", server.port))
        deaf.sendall((request + key).encode())
        with socket.create_connection(("127.0.0.1", server.port)) as hasty:
            hasty.sendall((request + key).encode())  # and gone
        seen: list[Event] = []
        reading = threading.Thread(target=lambda: seen.extend(events))
        reading.start()
        fill = "for n in range(200): open(f'{n:0200}', 'w').write('x')"
        for _ in range(4):
            api.python(container_id, fill)
        assert server.stop() == 0
        reading.join(60)
    assert {event.name for event in seen} >= {"call.started", "file.changed", "call.ended"}
    server.start()
    with watching(server.api(), container_id, last_id=seen[-1].data["id"]) as again:
        missed = next(again)
        assert (missed.name, missed.data["count"]) == ("events.missed", 0)
        assert missed.data["id"].partition("-")[0] != seen[-1].data["id"].partition("-")[0]
        api.python(container_id, "1")
        assert kinds(again, "call.ended")[0] == ("call.started", "code_interpreter")
