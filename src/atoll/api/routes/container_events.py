"""``GET /v1/containers/{container_id}/events``: what happens to a container, as it happens."""

from typing import Final

from litestar import get
from litestar.params import FromPath
from litestar.types import ASGIApp

from atoll.api.container_events import ContainerEvent
from atoll.api.live_events import LiveEvents
from atoll.api.operation import OPERATION, EventAnswer, Operation, Parameter
from atoll.api.query import read_query
from atoll.api.request import ApiRequest

_HEADER: Final = "Last-Event-ID"
_STREAM: Final = Operation(
    id="StreamContainerEvents",
    tag="Containers",
    summary="Watch what happens to a container",
    description=(
        "Server-sent events until the container ends. Watching does not count as use of the container. Without `after` "
        f"and `{_HEADER}`, only what happens from now on."
    ),
    answer=EventAnswer(ContainerEvent, "Each event, as it happens."),
    query=(
        Parameter(
            name="after",
            description="The id of an event to go on after, or `start` for all that are kept.",
            schema={"type": "string"},
        ),
        Parameter(
            name=_HEADER,
            description="As `after`, which it goes before: browsers send it when they connect again.",
            schema={"type": "string"},
            where="header",
        ),
    ),
    errors=(429,),
)


@get("/containers/{container_id:str}/events", opt={OPERATION: _STREAM})
async def stream_container_events(request: ApiRequest, container_id: FromPath[str]) -> ASGIApp:
    after, param = read_query(request.scope, "after").get("after"), "after"
    if header := request.headers.get(_HEADER):
        after, param = header, _HEADER
    streams = request.services.event_streams
    reading = streams.reading(request.project_id, container_id, after, param=param)
    return LiveEvents(reading, container_id, streams.boot, request.metrics.event_stream())
