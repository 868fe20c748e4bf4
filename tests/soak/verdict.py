"""What must hold once all is quiet: everything that was answered for is there, and nothing else is."""

import hashlib
import sqlite3
from contextlib import closing

from tests.harness import machine
from tests.harness.api import Api
from tests.harness.poll import wait_until
from tests.harness.server import AtollServer
from tests.soak.ledger import Kept, Ledger

# Orphans are looked for every minute, and a busy machine needs a moment for many of them.
_SETTLED_S = 120.0


def judge(server: AtollServer, api: Api, ledger: Ledger) -> None:
    """Compare the server with the ledger, and the machine with the server. Each difference fails."""
    listed = {item["id"]: item for item in api.containers()}
    for container_id, item in listed.items():
        ledger.told_active(container_id, item["last_active_at"])
    for container in ledger.kept.values():
        _check_container(api, container, is_listed=container.id in listed)
    for container_id in listed:
        # Looked at anew: time goes on for those that live for a minute, and looking puts their end off.
        if api.retrieve(container_id)["status"] == "running":
            assert api.shell(container_id, "echo works")[0]["stdout"] == "works\n", f"{container_id} is of no use"
        else:
            _check_expired(api, container_id)
    for file in ledger.project_files:
        response = api.send("GET", f"/files/{file.id}/content")
        assert response.status_code == 200, f"{file}: {response.text}"
        assert hashlib.sha256(response.content).hexdigest() == file.digest, file
    check_idle(api)
    check_holdings(server)


def _check_container(api: Api, container: Kept, *, is_listed: bool) -> None:
    if container.is_gone:
        assert not is_listed, f"{container.id} was deleted and is listed"
        assert api.send("GET", f"/containers/{container.id}").status_code == 404
        return
    if not is_listed:
        assert container.is_doomed, f"{container.id} was answered for and is not listed"
        return
    must_be_expired = container.must_be_expired
    if api.retrieve(container.id)["status"] == "expired":
        assert container.may_be_expired, f"{container.id} expired before its time"
        return
    assert not must_be_expired, f"{container.id} should have expired"
    # What some code left running may fill the container, and then there is no process for a download.
    api.call("POST", f"/containers/{container.id}/restart")
    there = {file["path"].removeprefix("/mnt/data/"): file for file in api.files(container.id)}
    for name, digest in container.files.items():
        assert name in there, f"{container.id} lost {name}, has {sorted(there)}"
        content = api.content(container.id, there[name]["id"])
        assert hashlib.sha256(content).hexdigest() == digest, f"{container.id}: {name} changed, {len(content)} bytes"
    strangers = set(there) - set(container.files) - container.unsure
    assert not strangers, f"{container.id} has files that nobody put there: {strangers}"


def _check_expired(api: Api, container_id: str) -> None:
    response = api.send("POST", f"/containers/{container_id}/shell_calls", json={"commands": ["true"]})
    assert (response.status_code, response.json()["error"]["message"]) == (400, "Container is expired.")
    assert api.retrieve(container_id)["status"] == "expired"


def check_idle(api: Api) -> None:
    """No call runs or waits any more, as far as the server knows."""

    def busy() -> list[str]:
        text = api.send("GET", api.base_url.removesuffix("/v1") + "/metrics").text
        names = ("atoll_calls_running", "atoll_calls_waiting", "atoll_creates_running")
        return [line for line in text.splitlines() if line.startswith(names) and not line.endswith(" 0.0")]

    wait_until(lambda: not busy(), what="no call runs", timeout_s=60)


def check_holdings(server: AtollServer) -> None:
    """Every row has its sandbox, and everything else is free; the pool's sandboxes are nobody's yet."""

    def difference() -> dict[str, list[str]]:
        named = _sandboxes_in_rows(server)
        pooled = {path.name for path in (server.run_dir / "ready").iterdir() if not path.suffix}
        on_disk, running = server.sandboxes_on_disk, server.sandboxes_that_run
        loops = machine.loop_devices_below(server.home)
        found = {
            "sandboxes without a row": sorted(on_disk - named - pooled),
            "rows without a sandbox": sorted(named - on_disk),
            "cgroups without a sandbox": sorted(running - on_disk),
            "loop devices without a cgroup": [loop for loop in loops if not any(name in loop for name in running)],
            "trash": [path.name for path in (server.data_dir / "sandboxes/.trash").iterdir()],
            "in the run folder": sorted(
                str(path) for path in server.run_dir.rglob("sbx_*") if path.name.partition(".")[0] not in on_disk
            ),
        }
        return {what: names for what, names in found.items() if names}

    try:
        wait_until(lambda: not difference(), what="one sandbox for each row", timeout_s=_SETTLED_S)
    except TimeoutError:
        raise AssertionError(f"rows and sandboxes differ: {difference()}") from None


def _sandboxes_in_rows(server: AtollServer) -> set[str]:
    with closing(sqlite3.connect(server.data_dir / "atoll.db")) as database:
        rows = database.execute("SELECT status, sandbox_id FROM containers").fetchall()
    assert all(sandbox is None for status, sandbox in rows if status == "expired"), "an expired row has a sandbox"
    return {sandbox for _, sandbox in rows if sandbox is not None}


def empty(server: AtollServer, api: Api) -> None:
    """Delete everything that is listed; afterwards nothing is held but by the pool and the zygote."""
    for item in api.containers():
        api.delete(item["id"])
    assert api.containers() == []
    check_holdings(server)
    pid = server.pid_of("supervisor")
    # One that is being made for the pool is mounted for a moment.
    wait_until(lambda: not machine.mounts_that_name("sbx_", pid), what="no sandbox's mount in the supervisor")
