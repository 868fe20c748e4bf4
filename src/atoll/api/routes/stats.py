"""``GET /v1/containers/{container_id}/stats``: what a container holds and uses, now and in the last minutes."""

from typing import Final

from litestar import get
from litestar.params import FromPath

from atoll.api import wire
from atoll.api.operation import OPERATION, Operation
from atoll.api.request import ApiRequest

_STATS: Final = Operation(
    id="RetrieveContainerStats",
    tag="Containers",
    summary="Measure a container",
    description=(
        "Memory, CPU, processes, disk and network. Does not count as use of the container. `history` grows from the "
        "first question on, for as long as somebody asks at least every five minutes."
    ),
    answer=wire.ContainerStats,
)


@get("/containers/{container_id:str}/stats", opt={OPERATION: _STATS})
async def retrieve_container_stats(request: ApiRequest, container_id: FromPath[str]) -> wire.ContainerStats:
    return wire.container_stats(container_id, await request.services.stats.of(request.project_id, container_id))
