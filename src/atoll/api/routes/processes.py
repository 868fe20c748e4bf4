"""``POST /v1/containers/{container_id}/processes``: one program with exact arguments, bytes in and out."""

import binascii
from base64 import b64decode
from typing import Final

from litestar import post
from litestar.params import FromPath
from litestar.types import ASGIApp

from atoll.api import wire
from atoll.api.body import read_json
from atoll.api.events import WholeAnswer, as_stream
from atoll.api.operation import OPERATION, Operation
from atoll.api.process_item import ProcessItem
from atoll.api.request import ApiRequest
from atoll.api.scope import RETRY_UNSAFE
from atoll.api.sse import EventStream
from atoll.model.errors import InvalidRequestError
from atoll.model.processes import NewProcess

_CREATE: Final = Operation(
    id="CreateContainerProcess",
    tag="Running code",
    summary="Run one program in a container",
    description=(
        "Exactly these arguments, no shell. Programs run beside calls and beside each other. With `stream` the answer "
        "is a stream of server-sent events; the client going away ends the program."
    ),
    answer=wire.ContainerProcess,
    body=wire.ProcessBody,
    stream=wire.ProcessStreamEvent,
    errors=(429,),
)


@post("/containers/{container_id:str}/processes", status_code=200, opt={OPERATION: _CREATE, RETRY_UNSAFE: True})
async def create_process(request: ApiRequest, container_id: FromPath[str]) -> ASGIApp:
    body = await read_json(request.scope, request.receive, wire.ProcessBody)
    encoding = body.encoding or "utf-8"
    process = NewProcess(
        argv=tuple(body.argv),
        environment=body.env or {},
        cwd=body.cwd,
        user=body.user,
        stdin=None if body.stdin is None else _bytes(body.stdin, encoding),
        timeout_ms=body.timeout_ms,
        output_bytes_max=body.max_output_bytes,
    )
    share = request.services.answers.share()
    events = request.services.processes.run(request.project_id, container_id, process, share.take)
    count = request.metrics.call("process")
    item = ProcessItem(container_id, encoding)
    if body.stream:
        return EventStream(as_stream(events, item, share, count), let_go=share.release)
    return WholeAnswer(events, item, share, count)


def _bytes(stdin: str, encoding: wire.Encoding) -> bytes:
    if encoding == "utf-8":
        return stdin.encode()
    try:
        return b64decode(stdin, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequestError(
            f"Invalid 'stdin': it is no Base64, which 'encoding' says that it is: {error}.",
            param="stdin",
            code="invalid_value",
        ) from None
