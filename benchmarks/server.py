"""A server to be measured: started for one script, with folders, a port and a cgroup of its own, and ended after it.

It is the tests' server, which also sees to it that nothing is left behind, but with the settings that a plain
``atoll serve`` has. What a script sets besides is part of its result file.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.client import BenchmarkClient
from tests.harness.server import AtollServer

_OWN_DEFAULTS = ("disk_bytes", "memory_overcommit", "pool_max")  # what tests want otherwise

POOL_WAIT_S_MAX = 60.0
_LOOK_AGAIN_S = 0.01


@contextmanager
def running_server(**settings: object) -> Iterator[AtollServer]:
    """Start a server with real walls; end it and everything of it. Needs root and the default image."""
    server = make_server(**settings)
    try:
        server.start()
        yield server
    finally:
        server.close()


def make_server(**settings: object) -> AtollServer:
    """Give a server that is not started yet; whoever starts it closes it."""
    return AtollServer("oci", {**dict.fromkeys(_OWN_DEFAULTS), **settings})


def client_of(server: AtollServer) -> BenchmarkClient:
    """Give a client with the server's first key."""
    return BenchmarkClient(server.base_url, server.api_key)


def wait_for_full_pool(client: BenchmarkClient, timeout_s: float = POOL_WAIT_S_MAX) -> None:
    """Wait until as many sandboxes are ready as the server wants now. Raises ``TimeoutError``."""
    deadline = time.monotonic() + timeout_s
    while True:
        metrics = client.metrics()
        ready, target = metrics['atoll_pool_sandboxes{which="ready"}'], metrics['atoll_pool_sandboxes{which="target"}']
        if ready >= max(target, 1):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {timeout_s:g} s, {ready:g} of {target:g} sandboxes are ready")
        time.sleep(_LOOK_AGAIN_S)
