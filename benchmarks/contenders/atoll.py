"""Atoll over HTTP, as a client sees it: with its pool of ready sandboxes, and without."""

import contextlib
import http.client
from typing import ClassVar, Final

from atoll import __version__
from benchmarks.client import BenchmarkClient
from benchmarks.contenders.contender import Contender, ContenderError, Facts, NotHereError, Started
from benchmarks.contenders.place import Place
from benchmarks.server import client_of, make_server, wait_for_full_pool
from tests.harness.server import AtollServer

POOL = 4
_ERRORS: Final = (OSError, RuntimeError, http.client.HTTPException)
_FACTS = Facts(
    walls="all namespaces, a range of user ids for each sandbox, no capabilities, a seccomp allowlist, a disk of its "
    "own",
    network="none, or a list of allowed names for each container; a name's secrets are put in outside",
    memory_limit="hard, by cgroup; disk, processes and output, too",
    state="the living Python, and files; files survive crashes and reboots",
    files="upload, list, download, folders as tar, over HTTP",
    expiry="after a time without use",
    more="-",
)


class Atoll(Contender):
    """A server of its own; its settings are a plain ``atoll serve``'s but for the pool's size."""

    again: ClassVar = "the living Python"
    facts: ClassVar = _FACTS
    serves: ClassVar = True
    pool: ClassVar[int]

    def __init__(self, place: Place) -> None:
        del place  # the server finds the image by itself
        self._server: AtollServer | None = None
        self._client: BenchmarkClient | None = None

    def why_not(self) -> str | None:
        """The image and root are all it needs, and they are there when this is asked."""
        return None

    def open(self) -> None:
        """Start the server; with a pool, wait until it is full."""
        # The pool stays as it is, whatever is asked for: else memory would count what demand adds to it.
        self._server = make_server(pool_min=self.pool, pool_max=self.pool)
        try:
            self._server.start()
        except (AssertionError, TimeoutError) as error:
            raise NotHereError(f"the server does not start: {error}") from error
        self._client = client_of(self._server)
        self.settle()

    def version(self) -> str:
        """Give the server's, and the pool's size."""
        return f"{__version__}, {f'pool of {self.pool}' if self.pool else 'no pool'}"

    def start(self, code: str) -> Started:
        """Make a container and run the first code in it."""
        try:
            container_id = self._http.create()
        except _ERRORS as error:
            raise ContenderError(f"create: {error}") from error
        session = AtollSession(self._http, container_id)
        try:
            return Started(session, session.run(code))
        except BaseException:
            session.end()
            raise

    def settle(self) -> None:
        """Wait until the pool is full again; a connection that was idle for so long that it is gone is made anew."""
        with contextlib.suppress(*_ERRORS):
            self._http.health()
        if self.pool:
            wait_for_full_pool(self._http)

    def close(self) -> None:
        """End the server and all its sandboxes."""
        server, self._server, self._client = self._server, None, None
        if server is not None:
            server.close()

    @property
    def _http(self) -> BenchmarkClient:
        assert self._client is not None, "not open"
        return self._client


class AtollSession:
    """A container."""

    def __init__(self, client: BenchmarkClient, container_id: str) -> None:
        self._client = client
        self._container_id = container_id

    def run(self, code: str) -> str:
        """Run code in its Python."""
        try:
            return self._client.python(self._container_id, code)
        except _ERRORS as error:
            raise ContenderError(str(error)) from error

    def end(self) -> None:
        """Delete it."""
        try:
            self._client.delete(self._container_id)
        except _ERRORS as error:
            raise ContenderError(f"delete: {error}") from error


class AtollWarm(Atoll):
    """With sandboxes kept ready."""

    name: ClassVar = "Atoll, pool warm"
    pool: ClassVar = POOL


class AtollCold(Atoll):
    """Every sandbox is made when it is asked for."""

    name: ClassVar = "Atoll, pool empty"
    pool: ClassVar = 0
