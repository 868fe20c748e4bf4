"""Ends that are asked for: SIGTERM, Ctrl-C, ``atoll down``."""

import contextlib
import signal
import time

import httpx
import pytest

from tests.harness import machine
from tests.harness.api import logs_of
from tests.harness.server import MakeServer, RuntimeName


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_running_calls_finish_and_containers_live_on(number: signal.Signals, make_server: MakeServer) -> None:
    server = make_server()
    api = server.api()
    container_id = api.create("lives on")["id"]
    api.logs(container_id, "kept = 'kept'")
    code = "import time\nprint('on', flush=True)\ntime.sleep(1)\nprint('done')"
    with api.streamed(f"/containers/{container_id}/code_interpreter_calls", {"code": code}) as events:
        next(event for event in events if event.name.endswith("_logs.delta"))
        server.signal_launcher(number)
        last = list(events)[-1].data
    assert last["item"]["status"] == "completed"
    assert logs_of(last["item"]) == "on\ndone\n"
    assert server.wait_ended() == 0
    with pytest.raises(httpx.ConnectError):
        api.send("GET", "/containers")
    assert machine.sandbox_processes(server.cgroup_parent), "containers live on"
    server.start()
    assert api.logs(container_id, "print(kept)") == "kept\n"


def test_calls_get_no_longer_than_the_limit(make_server: MakeServer) -> None:
    server = make_server(shutdown_grace_s=1)
    api = server.api()
    container_id = api.create("endless")["id"]
    body = {"code": "print('on', flush=True)\nwhile True: pass", "timeout_ms": 600_000}
    before = time.monotonic()
    with api.streamed(f"/containers/{container_id}/code_interpreter_calls", body) as events:
        next(event for event in events if event.name.endswith("_logs.delta"))
        server.signal_launcher(signal.SIGTERM)
        with contextlib.suppress(httpx.TransportError):
            list(events)
    server.wait_ended()
    assert time.monotonic() - before < 60, "the call would have had ten minutes"
    server.start()
    assert api.logs(container_id, "print('free again')", timeout_ms=10_000) == "free again\n"


@pytest.mark.parametrize("running", [True, False])
def test_down_removes_what_runs_and_keeps_files(running: bool, make_server: MakeServer) -> None:
    server = make_server()
    api = server.api()
    container_id = api.create("down")["id"]
    api.upload(container_id, "kept.txt", b"kept")
    api.shell(container_id, "sleep 1000 &")
    if not running:
        server.stop()
    server.atoll("down")
    if running:
        assert server.wait_ended() == 0
    assert not server.footprint().beyond(machine.NOTHING)
    server.atoll("down")
    server.start()
    assert api.logs(container_id, "print(open('kept.txt').read())") == "kept\n"


@pytest.mark.parametrize("runtime", ["oci", "plain"])
def test_a_second_server_on_the_same_folders_is_refused(runtime: RuntimeName, make_server: MakeServer) -> None:
    server = make_server(runtime)
    with pytest.raises(AssertionError, match=r"(?i)already|running|in use"):
        server.atoll("serve")
    assert server.api().containers() == []


def test_plain_keeps_files_over_a_restart(make_server: MakeServer) -> None:
    server = make_server("plain")
    api = server.api()
    container_id = api.create("plain")["id"]
    api.upload(container_id, "kept.txt", b"kept")
    server.stop()
    server.start()
    assert api.logs(container_id, "print(open('kept.txt').read())") == "kept\n"
