"""Processes of Atoll that die while containers are let out: nothing opens, and everything comes back."""

from collections.abc import Callable

import pytest

from tests.harness.api import Api
from tests.harness.outside import Outside, WebServer
from tests.harness.poll import wait_until
from tests.harness.server import AtollServer, MakeServer, Role
from tests.network_fixtures import PLAIN, allow, egress

FETCH = f"curl -sS --max-time 20 http://{PLAIN}/hello"
BEGIN = f"(curl -sSN http://{PLAIN}/slow >got 2>&1; echo over >>got) & disown"


def fetched(api: Api, container: str) -> bool:
    return bool(api.shell(container, FETCH)[0]["stdout"] == "GET /hello 0\n")


def role_lives(server: AtollServer, role: Role) -> Callable[[], bool]:
    def look() -> bool:
        try:
            return server.pid_of(role) > 0
        except LookupError:
            return False

    return look


def test_egress_dies(make_server: MakeServer, outside: Outside, plain_web: WebServer) -> None:
    server = make_server("oci", **outside.settings)
    api = server.api()
    container, closed = allow(api, PLAIN), api.create()["id"]
    api.shell(container, BEGIN)
    wait_until(lambda: "begun" in api.shell(container, "cat got")[0]["stdout"], what="the answer's beginning")
    plain_web.ended.clear()
    server.kill("egress")
    assert plain_web.ended.wait(5)
    wait_until(lambda: "over" in api.shell(container, "cat got")[0]["stdout"], what="the end of curl")
    wait_until(lambda: fetched(api, container), what="the way out to be back")
    assert not fetched(api, closed)
    assert [decision["reason"] for decision in egress(api, container)] == ["allowed"]


def test_a_policy_that_is_changed_while_egress_is_away(
    make_server: MakeServer, outside: Outside, plain_web: WebServer
) -> None:
    server = make_server("oci", **outside.settings)
    api = server.api()
    narrowed, widened = allow(api, PLAIN), api.create()["id"]
    server.kill("egress")
    for container, domain in ((narrowed, "elsewhere.example.test"), (widened, PLAIN)):
        policy = {"type": "allowlist", "allowed_domains": [domain]}
        api.call("POST", f"/containers/{container}", json={"network_policy": policy})
    wait_until(lambda: fetched(api, widened), what="the way out of the second container")
    assert not fetched(api, narrowed)


def test_supervisor_dies(make_server: MakeServer, outside: Outside, plain_web: WebServer) -> None:
    server = make_server("oci", **outside.settings)
    api = server.api()
    container = allow(api, PLAIN)
    api.shell(container, BEGIN)
    wait_until(lambda: "begun" in api.shell(container, "cat got")[0]["stdout"], what="the answer's beginning")
    plain_web.ended.clear()
    server.kill("supervisor")
    wait_until(role_lives(server, "supervisor"), what="another supervisor")
    assert fetched(api, container)
    assert not plain_web.ended.is_set()  # connections go on: the supervisor has no part in them
    api.call("POST", f"/containers/{container}", json={"network_policy": {"type": "disabled"}})
    assert plain_web.ended.wait(5)  # and the new one knows what the old one opened
    assert not fetched(api, container)


@pytest.mark.parametrize("roles", [("supervisor", "egress"), ("server", "supervisor", "egress")])
def test_several_die_at_once(
    make_server: MakeServer, outside: Outside, plain_web: WebServer, roles: tuple[Role, ...]
) -> None:
    server = make_server("oci", **outside.settings)
    api = server.api()
    container, closed = allow(api, PLAIN), api.create()["id"]
    server.kill(*roles)
    wait_until(role_lives(server, "egress"), what="another egress process")
    server.wait_healthy()
    wait_until(lambda: fetched(api, container), what="the way out to be back")
    assert not fetched(api, closed)


def test_a_restart_and_a_reboot(make_server: MakeServer, outside: Outside, plain_web: WebServer) -> None:
    server = make_server("oci", **outside.settings)
    api = server.api()
    container, closed = allow(api, PLAIN), api.create()["id"]
    server.stop()
    server.start()
    wait_until(lambda: fetched(api, container), what="the way out to be back after a restart")
    server.reboot()
    server.start()
    # The policy is in force before the container can be used: the first call after a reboot gets through.
    wait_until((server.run_dir / "egress.sock").exists, what="an egress process")
    assert fetched(api, container)
    assert not fetched(api, closed)


def test_nothing_is_left_of_a_container_that_is_gone(
    make_server: MakeServer, outside: Outside, plain_web: WebServer
) -> None:
    server = make_server("oci", **outside.settings)
    api = server.api()
    containers = [allow(api, PLAIN) for _ in range(5)]
    assert all(fetched(api, container) for container in containers)
    for container in containers:
        api.delete(container)
    assert list((server.run_dir / "networks").iterdir()) == []
    metrics = f"{server.base_url.removesuffix('/v1')}/metrics"
    wait_until(lambda: "atoll_egress_connections_open 0.0" in api.send("GET", metrics).text, what="no connections")
