"""``WS /v1/containers/{container_id}/terminal``: a shell on a real terminal; ``…/terminals``: those there are."""

from typing import Any, Final

from litestar import WebSocket, delete, get, websocket
from litestar.datastructures import State
from litestar.params import FromPath
from litestar.types import WebSocketScope

from atoll.api import wire
from atoll.api.auth import authenticated, offered_key
from atoll.api.operation import OPERATION, Operation
from atoll.api.origin import is_allowed
from atoll.api.query import read_query
from atoll.api.request import ApiRequest, metrics_of, services_of
from atoll.api.terminal_socket import AttachedMessage, Ended, TerminalSocket
from atoll.model.errors import BusyError, InvalidRequestError
from atoll.model.terminals import TerminalSize

ALLOWED_ORIGINS: Final = "allowed_origins"
SUBPROTOCOL: Final = "atoll.terminal"

_LIST: Final = Operation(
    id="ListTerminals",
    tag="Running code",
    summary="List the terminals of a container",
    description=(
        "Oldest first. A terminal is opened, and connected to, by a WebSocket on "
        "`/v1/containers/{container_id}/terminal`, which this document cannot describe; the reference does."
    ),
    answer=wire.TerminalListResource,
    errors=(400, 429),
)
_CLOSE: Final = Operation(
    id="CloseTerminal",
    tag="Running code",
    summary="Close a terminal",
    description="What runs in it is hung up on, as when a window is closed.",
    answer=wire.TerminalClosed,
    errors=(400, 429),
)


@websocket("/containers/{container_id:str}/terminal")
async def terminal(socket: WebSocket[Any, Any, State]) -> None:
    """Serve one connection."""
    scope, receive, send = socket.scope, socket.receive, socket.send
    await receive()
    if not is_allowed(scope, socket.app.state[ALLOWED_ORIGINS]):
        reason = "Web pages of this origin may not connect; the operator's setting 'allowed_origins' can let them."
        await send({"type": "websocket.close", "code": 4403, "reason": reason})
        return
    subprotocol = SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None
    await send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": []})
    with metrics_of(scope).terminal() as counting:
        client = TerminalSocket(scope, receive, send, counting.carried)
        counting.ended = await _serve(scope, client)


@get("/containers/{container_id:str}/terminals", opt={OPERATION: _LIST})
async def list_terminals(request: ApiRequest, container_id: FromPath[str]) -> wire.TerminalListResource:
    found = await request.services.terminals.list(request.project_id, container_id)
    return wire.TerminalListResource(data=[wire.terminal(one) for one in found])


@delete("/containers/{container_id:str}/terminals/{terminal_id:str}", status_code=200, opt={OPERATION: _CLOSE})
async def close_terminal(
    request: ApiRequest, container_id: FromPath[str], terminal_id: FromPath[str]
) -> wire.TerminalClosed:
    await request.services.terminals.close(request.project_id, container_id, terminal_id)
    return wire.TerminalClosed(id=terminal_id)


async def _serve(scope: WebSocketScope, client: TerminalSocket) -> Ended:
    """Tell the client everything, also why it may not: a browser shows its page nothing else."""
    container_id = str(scope["path_params"]["container_id"])
    try:
        project = await authenticated(scope, offered_key(scope))
        query = read_query(scope, "terminal_id", "cols", "rows")
        size = TerminalSize(_number(query.get("cols"), "cols", 80), _number(query.get("rows"), "rows", 24))
        terminals = services_of(scope).terminals
        async with terminals.attached(project.id, container_id, size, query.get("terminal_id")) as attached:
            first = AttachedMessage(
                terminal_id=attached.id, container_id=container_id, cols=size.columns, rows=size.rows
            )
            if not await client.tell(first):
                return "client"
            return await client.converse(attached)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told here or nowhere
        if isinstance(error, BusyError):
            metrics_of(scope).refused(error.reason)
        await client.fail(error)
        return "error"


def _number(text: str | None, name: str, default: int) -> int:
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidRequestError(f"Invalid '{name}': expected a whole number.", param=name, code="invalid_type")
    return int(text)
