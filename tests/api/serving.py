"""Runs an application on a real port, in the test's own event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

from atoll.operate.http_protocol import BoundedHttpProtocol
from atoll.operate.http_server import HttpServer
from atoll.operate.websocket_protocol import MESSAGE_BYTES_MAX, BoundedWebSocketProtocol


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens, and the server."""

    host: str
    port: int
    server: uvicorn.Server

    @property
    def url(self) -> str:
        """The server's root."""
        return f"http://{self.host}:{self.port}"


@asynccontextmanager
async def serving(
    app: Any, *, shutdown_grace_s: int = 1, http: type[BoundedHttpProtocol] = BoundedHttpProtocol
) -> AsyncIterator[Address]:
    """Serve on a free loopback port until the block ends; then stop as ``SIGTERM`` would."""
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        http=http,
        ws=BoundedWebSocketProtocol,
        ws_max_size=MESSAGE_BYTES_MAX,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=shutdown_grace_s,
    )
    server = _Server(config, getattr(app, "begin_stopping", _nothing))
    running = asyncio.create_task(server.serve())
    started = asyncio.create_task(server.has_started.wait())
    await asyncio.wait((running, started), return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        started.cancel()
        raise RuntimeError("the server did not start") from running.exception()
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    try:
        yield Address(host, port, server)
    finally:
        server.should_exit = True
        await running


@asynccontextmanager
async def alive(app: Any) -> AsyncIterator[None]:
    """Run an application's lifespan, without a server, for requests that are made inside this process."""
    orders: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    reports: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    running = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}}, orders.get, reports.put))
    await orders.put({"type": "lifespan.startup"})
    report = await reports.get()
    if report["type"] != "lifespan.startup.complete":
        await running  # raises what went wrong
    try:
        yield
    finally:
        await orders.put({"type": "lifespan.shutdown"})
        assert (await reports.get())["type"] == "lifespan.shutdown.complete"
        await running


@contextmanager
def serving_in_thread(app: Any) -> Iterator[str]:
    """Serve in an event loop of another thread, for tests that block; gives the server's root."""
    with asyncio.Runner() as runner, ThreadPoolExecutor(1) as thread:
        stop = asyncio.Event()
        url: Future[str] = Future()

        async def run() -> None:
            try:
                async with serving(app) as address:
                    url.set_result(address.url)
                    await stop.wait()
            except BaseException as error:
                if not url.done():
                    url.set_exception(error)
                raise

        running = thread.submit(runner.run, run())
        try:
            yield url.result()
        finally:
            runner.get_loop().call_soon_threadsafe(stop.set)
            running.result()


def _nothing() -> None:
    """Do nothing."""


class _Server(HttpServer):
    """Tells when it listens, and leaves the signals of the test run alone."""

    def __init__(self, config: uvicorn.Config, on_stopping: Callable[[], None]) -> None:
        super().__init__(config, on_stopping)
        self.has_started = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.has_started.set()

    async def serve(self, sockets: Any = None) -> None:
        await self._serve(sockets)
