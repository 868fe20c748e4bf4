"""``GET /metrics``: what was counted, for Prometheus."""

from typing import Final

from litestar import get
from litestar.response.base import ASGIResponse
from litestar.types import ASGIApp

from atoll.api.metrics import CONTENT_TYPE
from atoll.api.operation import OPERATION, Operation, Raw
from atoll.api.request import ApiRequest

_METRICS: Final = Operation(
    id="metrics",
    tag="Service",
    summary="Read the server's counters",
    answer=Raw(media_type="text/plain", description="Prometheus text format."),
)


@get("/metrics", opt={OPERATION: _METRICS})
async def metrics(request: ApiRequest) -> ASGIApp:
    containers = request.services.containers
    body = request.metrics.render(
        containers_running=await containers.count_running(),
        runtime=await containers.measure_runtime(),
        egress=await request.services.egress.counts(),
    )
    return ASGIResponse(body=body, headers={"content-type": CONTENT_TYPE})
