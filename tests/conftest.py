"""Fixtures that start real servers, and the servers' logs beside every failure."""

import os
from collections.abc import Callable, Generator, Iterator

import hypothesis
import pytest

from tests.harness.api import Api
from tests.harness.requirements import unmet
from tests.harness.server import IMAGES_DIR, AtollServer, MakeServer, RuntimeName
from tests.network_fixtures import network_api, network_server, outside, plain_web, secure_web
from tests.oci_fixtures import (
    make_oci_machine,
    oci_machine,
    oci_runtime,
    pooling_oci_machine,
    pooling_oci_runtime,
)

__all__ = [
    "make_oci_machine",
    "network_api",
    "network_server",
    "oci_machine",
    "oci_runtime",
    "outside",
    "plain_web",
    "pooling_oci_machine",
    "pooling_oci_runtime",
    "secure_web",
]  # fixtures, used by their names

_SERVERS = pytest.StashKey[list[AtollServer]]()
_LOG_STARTS = pytest.StashKey[dict[AtollServer, int]]()


def pytest_configure(config: pytest.Config) -> None:
    """Make room for the servers that run; let examples take their time, on a machine that does much beside."""
    config.stash[_SERVERS] = []
    hypothesis.settings.register_profile(
        "unhurried",
        hypothesis.settings.get_profile(hypothesis.settings.get_current_profile_name()),
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.load_profile("unhurried")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember where each log is before the test."""
    item.stash[_LOG_STARTS] = {
        server: server.log_path.stat().st_size for server in item.config.stash[_SERVERS] if server.log_path.exists()
    }


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the servers wrote during a test that failed."""
    report = yield
    if report.failed:
        starts = item.stash.get(_LOG_STARTS, {})
        for server in item.config.stash[_SERVERS]:
            tail = server.log_tail(starts.get(server, 0))
            if tail:
                report.sections.append((f"log of the {server.runtime} server on port {server.port}", tail))
    return report


@pytest.fixture(scope="session")
def oci_possible() -> None:
    """Check what real sandboxes need."""
    if os.geteuid() != 0:
        unmet("the oci runtime needs root")
    if not IMAGES_DIR.is_dir() or not any(IMAGES_DIR.iterdir()):
        unmet(f"no image in {IMAGES_DIR}: scripts/test builds it; ATOLL_TEST_IMAGES_DIR names another folder")


@pytest.fixture(scope="session")
def start_server(request: pytest.FixtureRequest) -> Callable[..., Iterator[AtollServer]]:
    """Give what fixtures of any scope run a server with."""

    def start(runtime: RuntimeName, **settings: object) -> Iterator[AtollServer]:
        if runtime == "oci":
            request.getfixturevalue("oci_possible")
        server = AtollServer(runtime, settings)
        request.config.stash[_SERVERS].append(server)
        try:
            server.start()
            yield server
        finally:
            server.close()
            request.config.stash[_SERVERS].remove(server)

    return start


@pytest.fixture(scope="session")
def oci_server(start_server: Callable[..., Iterator[AtollServer]]) -> Iterator[AtollServer]:
    """Give the server with real walls that tests share."""
    yield from start_server("oci")


@pytest.fixture(scope="session")
def plain_server(start_server: Callable[..., Iterator[AtollServer]]) -> Iterator[AtollServer]:
    """Give the server without walls that tests share."""
    yield from start_server("plain")


@pytest.fixture(scope="session", params=["oci", "plain"])
def server(request: pytest.FixtureRequest) -> AtollServer:
    """Give each of the shared servers in turn."""
    found: AtollServer = request.getfixturevalue(f"{request.param}_server")
    return found


@pytest.fixture
def make_server(start_server: Callable[..., Iterator[AtollServer]]) -> Iterator[MakeServer]:
    """Start servers that belong to one test, which may kill them."""
    running: list[Iterator[AtollServer]] = []

    def make(runtime: RuntimeName = "oci", **settings: object) -> AtollServer:
        server = start_server(runtime, **settings)
        running.append(server)
        return next(server)

    yield make
    for server in reversed(running):
        next(server, None)


@pytest.fixture(scope="session")
def oci_api(oci_server: AtollServer) -> Api:
    """Give the shared server's client."""
    return oci_server.api()


@pytest.fixture
def container(oci_api: Api) -> Iterator[str]:
    """Give the id of a container of one's own, behind real walls."""
    container_id = oci_api.create()["id"]
    yield container_id
    oci_api.send("DELETE", f"/containers/{container_id}")
