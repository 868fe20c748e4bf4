"""A server whose containers can reach a world on loopback, and that world."""

from collections.abc import Callable, Iterator

import pytest

from tests.harness.api import Api, Json
from tests.harness.outside import Outside, WebServer, outside_world
from tests.harness.server import AtollServer

PLAIN, SECURE = "plain.example.test", "secure.example.test"


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """Give the world that tests share."""
    with outside_world(tmp_path_factory.mktemp("outside")) as world:
        yield world


@pytest.fixture(scope="session")
def plain_web(outside: Outside) -> WebServer:
    """Give its web server without TLS."""
    return outside.web(1, PLAIN)


@pytest.fixture(scope="session")
def secure_web(outside: Outside) -> WebServer:
    """Give its web server with TLS, which speaks HTTP/2 to those who want it."""
    return outside.secure_web(2, SECURE, "deep.sub.example.test", protocols=("h2", "http/1.1"))


@pytest.fixture(scope="session")
def network_server(start_server: Callable[..., Iterator[AtollServer]], outside: Outside) -> Iterator[AtollServer]:
    """Give the server that takes it for the world."""
    bundle = outside.authority.folder / "roots.pem"
    bundle.write_bytes(outside.authority.pem)
    yield from start_server("oci", **outside.settings, egress_ca_bundle=bundle)


@pytest.fixture(scope="session")
def network_api(network_server: AtollServer) -> Api:
    """Give that server's client."""
    return network_server.api()


def allow(api: Api, *domains: str) -> str:
    """Make a container that may reach some domains; gives its id."""
    container_id: str = api.create(network_policy={"type": "allowlist", "allowed_domains": list(domains)})["id"]
    return container_id


def egress(api: Api, container_id: str) -> list[Json]:
    """Give what was decided about a container, the newest first."""
    decisions: list[Json] = api.call("GET", f"/containers/{container_id}/egress", params={"limit": 100})["data"]
    return decisions
