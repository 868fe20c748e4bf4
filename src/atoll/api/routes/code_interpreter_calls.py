"""``POST /v1/containers/{container_id}/code_interpreter_calls``: Python whose state lives on between calls."""

from typing import Final

from litestar import post
from litestar.params import FromPath
from litestar.types import ASGIApp

from atoll.api import wire
from atoll.api.body import read_json
from atoll.api.events import WholeAnswer, as_stream
from atoll.api.items import PythonItem
from atoll.api.operation import OPERATION, Operation
from atoll.api.request import ApiRequest
from atoll.api.scope import RETRY_UNSAFE
from atoll.api.sse import EventStream
from atoll.model.calls import PythonCall

_CREATE: Final = Operation(
    id="CreateCodeInterpreterCall",
    tag="Running code",
    summary="Run Python in a container",
    description=(
        "Variables, imports and the working directory live on between calls. With `stream` the answer is a stream of "
        "server-sent events; the client going away interrupts the call."
    ),
    answer=wire.CodeInterpreterCall,
    body=wire.CodeInterpreterCallBody,
    stream=wire.PythonStreamEvent,
    errors=(429,),
)


@post(
    "/containers/{container_id:str}/code_interpreter_calls",
    status_code=200,
    opt={OPERATION: _CREATE, RETRY_UNSAFE: True},
)
async def create_code_interpreter_call(request: ApiRequest, container_id: FromPath[str]) -> ASGIApp:
    body = await read_json(request.scope, request.receive, wire.CodeInterpreterCallBody)
    call = PythonCall(code=body.code, timeout_ms=body.timeout_ms, html=body.html is True)
    share = request.services.answers.share()
    events = request.services.calls.run_python(request.project_id, container_id, call, share.take)
    count = request.metrics.call("python")
    item = PythonItem(container_id, body.code)
    if body.stream:
        return EventStream(as_stream(events, item, share, count), let_go=share.release)
    return WholeAnswer(events, item, share, count)
