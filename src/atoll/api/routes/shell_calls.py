"""``POST /v1/containers/{container_id}/shell_calls``: commands for ``bash``, one after the other."""

import secrets
from typing import Final

from litestar import post
from litestar.params import FromPath
from litestar.types import ASGIApp

from atoll.api import wire
from atoll.api.body import read_json
from atoll.api.events import WholeAnswer, as_stream
from atoll.api.items import ShellItem
from atoll.api.operation import OPERATION, Operation
from atoll.api.request import ApiRequest
from atoll.api.scope import RETRY_UNSAFE
from atoll.api.sse import EventStream
from atoll.model.calls import ShellCall

_CREATE: Final = Operation(
    id="CreateShellCall",
    tag="Running code",
    summary="Run shell commands in a container",
    description=(
        "Each command is a fresh `bash`. With `stream` the answer is a stream of server-sent events; the client going "
        "away interrupts the call."
    ),
    answer=wire.ShellCallOutput,
    body=wire.ShellCallBody,
    stream=wire.ShellStreamEvent,
    errors=(429,),
)


@post("/containers/{container_id:str}/shell_calls", status_code=200, opt={OPERATION: _CREATE, RETRY_UNSAFE: True})
async def create_shell_call(request: ApiRequest, container_id: FromPath[str]) -> ASGIApp:
    body = await read_json(request.scope, request.receive, wire.ShellCallBody)
    call = ShellCall(
        commands=tuple(body.commands), timeout_ms=body.timeout_ms, max_output_length=body.max_output_length
    )
    share = request.services.answers.share()
    events = request.services.calls.run_shell(request.project_id, container_id, call, share.take)
    count = request.metrics.call("shell")
    item = ShellItem(body.call_id or f"call_{secrets.token_hex(12)}", len(call.commands), body.max_output_length)
    if body.stream:
        return EventStream(as_stream(events, item, share, count), let_go=share.release)
    return WholeAnswer(events, item, share, count)
