"""The ASGI application: all routes on given services."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Litestar, Request, Response, Router
from litestar.datastructures import State
from litestar.types import ControllerRouterHandler

import atoll
from atoll import __version__
from atoll.api.auth import KeyRequired
from atoll.api.edge import BODY_PIECE_S_MAX, Edge
from atoll.api.errors import answer
from atoll.api.metrics import Metrics
from atoll.api.openapi import Document, build_document
from atoll.api.reference_page import render_page
from atoll.api.request import METRICS, SERVICES, ApiRequest
from atoll.api.routes import (
    archive,
    code_interpreter_calls,
    console,
    container_events,
    container_files,
    containers,
    egress,
    files,
    health,
    interrupt,
    mcp,
    metrics,
    processes,
    reference,
    shell_calls,
    stats,
    terminal,
)
from atoll.model.errors import BusyError, StartRefusedError
from atoll.model.reconciler_counts import ReconcilerCounts
from atoll.service.app import Services
from atoll.spans import Tracing

_V1: Final = (
    containers.list_containers,
    containers.create_container,
    containers.retrieve_container,
    containers.update_container,
    containers.delete_container,
    egress.list_container_egress,
    container_events.stream_container_events,
    stats.retrieve_container_stats,
    container_files.list_container_files,
    container_files.create_container_file,
    container_files.retrieve_container_file,
    container_files.delete_container_file,
    container_files.retrieve_container_file_content,
    archive.get_archive,
    archive.put_archive,
    files.list_files,
    files.create_file,
    files.retrieve_file,
    files.delete_file,
    files.retrieve_file_content,
    code_interpreter_calls.create_code_interpreter_call,
    shell_calls.create_shell_call,
    processes.create_process,
    interrupt.interrupt_container,
    interrupt.restart_container,
    terminal.list_terminals,
    terminal.close_terminal,
)

CONSOLE_FOLDER: Final = Path(atoll.__file__).parent / "console"
"""Where ``console/build`` puts the built console, and a wheel has it."""

OpenServices = Callable[[], AbstractAsyncContextManager[Services]]


def build_app(
    open_services: OpenServices,
    *,
    drain_timeout_s: float = 10.0,
    allowed_origins: Collection[str] = (),
    tracing: Tracing | None = None,
    logs_requests: bool = False,
    console_folder: Path = CONSOLE_FOLDER,
    reconciled: ReconcilerCounts | None = None,
    body_piece_s_max: float = BODY_PIECE_S_MAX,
) -> Edge:
    """Give the application. Services are opened when it starts and closed when its last request was answered.

    ``drain_timeout_s`` bounds how long the end waits for requests that were cancelled and are still cleaning up.
    ``allowed_origins`` are those of other servers' pages that may open WebSockets. ``tracing`` is closed at the end.
    ``console_folder`` holds the built console, or nothing, which ``/`` then says. ``reconciled`` counts the turns of
    reconcilers. ``body_piece_s_max`` is how long a client may send nothing in the middle of a request.
    """
    counted = Metrics(reconciled=reconciled)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with _noting(edge), open_services() as services:
            app.state[SERVICES] = services
            edge.on_stopping = services.events.close
            app.state[mcp.MCP] = tools = mcp.Mcp(edge)
            yield
            await edge.drained(drain_timeout_s)
            await tools.aclose()
            if tracing is not None:
                await asyncio.to_thread(tracing.close)

    inner = Litestar(
        route_handlers=_routes(),
        exception_handlers={Exception: lambda request, error: _count_and_answer(counted, request, error)},
        lifespan=[lifespan],
        logging_config=None,
        openapi_config=None,
        request_class=ApiRequest,
        request_max_body_size=None,  # bodies are bounded where they are read, in our own words
        state=State(
            {METRICS: counted, terminal.ALLOWED_ORIGINS: frozenset(allowed_origins), console.FOLDER: console_folder}
        ),
    )
    document = build_document(inner.routes, version=__version__)
    inner.state[reference.DOCUMENT] = msgspec.json.encode(document)
    inner.state[reference.PAGE] = render_page(document)
    edge = Edge(inner, counted, tracing=tracing, logs_requests=logs_requests, body_piece_s_max=body_piece_s_max)
    return edge


@asynccontextmanager
async def _noting(edge: Edge) -> AsyncIterator[None]:
    """Note why the application cannot be begun; the framework tells tracebacks only."""
    try:
        yield
    except StartRefusedError as error:
        edge.refusal = error
        raise


def describe() -> Document:
    """Give the OpenAPI document without a server."""
    routes = Litestar(route_handlers=_routes(), openapi_config=None, request_class=ApiRequest).routes
    return build_document(routes, version=__version__)


def _count_and_answer(counted: Metrics, request: Request[Any, Any, State], error: Exception) -> Response[bytes]:
    if isinstance(error, BusyError):
        counted.refused(error.reason)
    return answer(request, error)


def _routes() -> list[ControllerRouterHandler]:
    return [
        Router("/v1", route_handlers=_V1, middleware=[KeyRequired]),
        Router("/", route_handlers=[metrics.metrics, mcp.mcp], middleware=[KeyRequired]),
        Router("/v1", route_handlers=[terminal.terminal]),  # which asks for the key in its own way
        health.health,
        reference.openapi_document,
        reference.reference_page,
        console.console_page,
        console.console_file,
        console.console_file_in_folder,
    ]
