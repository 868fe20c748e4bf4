"""``GET /v1/containers/{id}/egress``: what was let out of a container and what was not."""

from typing import Final

from litestar import get
from litestar.params import FromPath

from atoll.api import wire
from atoll.api.operation import OPERATION, Operation, paging_parameters
from atoll.api.paging import NAMES, page_fields, page_query
from atoll.api.query import read_query
from atoll.api.request import ApiRequest

_LIST: Final = Operation(
    id="ListContainerEgress",
    tag="Containers",
    summary="List what was let out of a container, and what was not",
    description="One item for each connection, when it has ended, and for each look-up of a name that is not allowed.",
    answer=wire.EgressListResource,
    query=paging_parameters("decisions"),
)


@get("/containers/{container_id:str}/egress", opt={OPERATION: _LIST})
async def list_container_egress(request: ApiRequest, container_id: FromPath[str]) -> wire.EgressListResource:
    query = page_query(read_query(request.scope, *NAMES), ids="egr_")
    page = await request.services.egress.list(request.project_id, container_id, query)
    data = [wire.egress_decision(record) for record in page.items]
    return wire.EgressListResource(data=data, **page_fields(data, has_more=page.has_more))
