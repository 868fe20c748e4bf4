"""Containers whose time is over: still there to be read about, holding nothing, of no use."""

from typing import Any

from tests.harness import machine
from tests.harness.past import leave_unused
from tests.harness.poll import wait_until
from tests.harness.server import MakeServer


def test_expiry(make_server: MakeServer) -> None:
    server = make_server()
    api = server.api()
    expiring = api.create("expiring", expires_after={"anchor": "last_active_at", "minutes": 1})["id"]
    staying = api.create("staying", expires_after={"anchor": "last_active_at", "minutes": 60})["id"]
    file = api.upload(expiring, "data.txt", b"x" * 1000)
    api.upload(staying, "data.txt", b"stays")
    api.logs(expiring, "x = 1")

    server.stop()
    leave_unused(server, [expiring, staying], minutes=2)
    server.start()

    row = api.retrieve(expiring)
    assert row["status"] == "expired", "expired from the moment on, not only when somebody has cleaned up"
    assert row["name"] == "expiring"
    uses: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/files", {"files": {"file": ("x", b"x")}}),
        ("GET", "/files", {}),
        ("GET", f"/files/{file['id']}", {}),
        ("GET", f"/files/{file['id']}/content", {}),
        ("DELETE", f"/files/{file['id']}", {}),
        ("POST", "/code_interpreter_calls", {"json": {"code": "1"}}),
        ("POST", "/shell_calls", {"json": {"commands": ["true"]}}),
        ("POST", "/interrupt", {}),
        ("POST", "/restart", {}),
    ]
    for method, path, options in uses:
        response = api.send(method, f"/containers/{expiring}{path}", **options)
        assert response.status_code == 400, f"{method} {path}: {response.status_code}"
        assert response.json()["error"]["message"] == "Container is expired."
        assert response.json()["error"]["type"] == "invalid_request_error"
    assert api.retrieve(expiring)["last_active_at"] == row["last_active_at"], "nothing revives it"
    listed = {item["id"]: item["status"] for item in api.containers()}
    assert listed == {expiring: "expired", staying: "running"}

    wait_until(lambda: len(server.sandboxes_on_disk) == 1, what="the expired container's disk removed")
    wait_until(lambda: len(machine.loop_devices_below(server.home)) == 1, what="its loop device freed")
    assert api.content(staying, api.files(staying)[0]["id"]) == b"stays"
    api.delete(expiring)
    assert [item["id"] for item in api.containers()] == [staying]


def test_use_puts_expiry_off_and_listing_does_not(make_server: MakeServer) -> None:
    server = make_server("plain")
    api = server.api()
    listed_only, retrieved, computed = (
        api.create(name, expires_after={"anchor": "last_active_at", "minutes": 10})["id"] for name in "abc"
    )
    server.stop()
    leave_unused(server, [listed_only, retrieved, computed], minutes=6)
    server.start()
    before = {item["id"]: item["last_active_at"] for item in api.containers()}
    assert api.retrieve(retrieved)["last_active_at"] >= before[retrieved] + 300
    api.logs(computed, "1")
    after = {item["id"]: item["last_active_at"] for item in api.containers()}
    assert after[computed] >= before[computed] + 300
    assert after[listed_only] == before[listed_only]
    server.stop()
    leave_unused(server, [listed_only, retrieved, computed], minutes=6)
    server.start()
    statuses = {item["id"]: item["status"] for item in api.containers()}
    assert statuses == {listed_only: "expired", retrieved: "running", computed: "running"}
