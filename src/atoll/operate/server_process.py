"""The server child: loads everything, becomes an ordinary user, then speaks HTTP."""

import contextlib
import importlib
import math
import resource
import socket
import sys
from collections.abc import Callable
from typing import Any, Final

import uvicorn

from atoll.operate import code_view
from atoll.operate.child import EXIT_CANNOT_START
from atoll.operate.http_protocol import BoundedHttpProtocol
from atoll.operate.http_server import HttpServer
from atoll.operate.logs import configure_logging
from atoll.operate.system_user import become, end_with_parent
from atoll.operate.task import Task
from atoll.operate.websocket_protocol import MESSAGE_BYTES_MAX, PING_S, PONG_S_MAX, BoundedWebSocketProtocol
from atoll.settings import Settings

_KEEP_ALIVE_S: Final = 75
_OPEN_FILES_MAX: Final = 65_536  # a stream of events takes one, a terminal two; what is usual ends at 1024
_LOADED_LATE: Final = (
    "uvloop",
    "uvicorn.loops.uvloop",
    "uvicorn.lifespan.on",
)


def run_server(task: Task) -> None:
    """Serve on the inherited socket until SIGTERM, then let running calls finish up to ``shutdown_grace_s``.

    Raises ``UserError`` when the server's user cannot read the program.
    """
    configure_logging(task.settings.log_level, task.settings.log_format, "server")
    from atoll.server import create_app  # noqa: PLC0415 - it loads all of the server, which must log by then

    for name in (*_LOADED_LATE, *(() if task.settings.traces_endpoint is None else ("atoll.otlp",))):
        importlib.import_module(name)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, _OPEN_FILES_MAX), most))
    if task.user is not None:
        code_view.open_to(task.user)
        become(task.user)
        end_with_parent(task.launcher_pid)
    listening = socket.socket(fileno=task.listening_fd)
    app = create_app(task.settings, first_key=task.first_key, vault_key=task.vault_key)
    server = HttpServer(_uvicorn_config(app, task.settings), app.begin_stopping)
    with contextlib.suppress(SystemExit):  # uvicorn's own way out of a start that failed
        server.run(sockets=[listening])
    if not server.started:
        sys.exit(EXIT_CANNOT_START)  # the log has the reason, and trying again would end the same way


def _uvicorn_config(app: Callable[..., Any], settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=BoundedHttpProtocol,
        ws=BoundedWebSocketProtocol,
        ws_max_size=MESSAGE_BYTES_MAX,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PONG_S_MAX,
        ws_per_message_deflate=False,  # it holds a window for each connection, and a bomb takes little to send
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, math.ceil(settings.shutdown_grace_s)),
    )
