"""``/v1/containers``: create, list, retrieve, change, delete."""

from typing import Final

from litestar import delete, get, post
from litestar.params import FromPath

from atoll.api import wire
from atoll.api.body import read_json
from atoll.api.operation import OPERATION, Operation, Parameter, paging_parameters
from atoll.api.paging import NAMES, page_fields, page_query
from atoll.api.query import read_query
from atoll.api.request import ApiRequest
from atoll.model.containers import ContainerChange, NewContainer
from atoll.model.errors import InvalidRequestError
from atoll.model.ids import FileId
from atoll.model.memory_limit import MemoryLimit
from atoll.model.network_policy import NETWORK_DISABLED, NetworkPolicy, NewDomainSecret

_LIST: Final = Operation(
    id="ListContainers",
    tag="Containers",
    summary="List containers",
    answer=wire.ContainerListResource,
    query=(
        *paging_parameters("containers"),
        Parameter(name="name", description="Only containers of exactly this name.", schema={"type": "string"}),
    ),
)
_CREATE: Final = Operation(
    id="CreateContainer",
    tag="Containers",
    summary="Create a container",
    answer=wire.ContainerResource,
    body=wire.CreateContainerBody,
    errors=(404, 429),
)
_RETRIEVE: Final = Operation(
    id="RetrieveContainer",
    tag="Containers",
    summary="Retrieve a container",
    description="Counts as use of a running container. An expired one can still be retrieved.",
    answer=wire.ContainerResource,
)
_UPDATE: Final = Operation(
    id="UpdateContainer",
    tag="Containers",
    summary="Change a container",
    description=(
        "A changed `network_policy` counts for the next connection; connections that it does not allow any more have "
        "ended when the answer comes."
    ),
    answer=wire.ContainerResource,
    body=wire.UpdateContainerBody,
)
_DELETE: Final = Operation(
    id="DeleteContainer",
    tag="Containers",
    summary="Delete a container, with everything in it",
    answer=wire.DeletedContainer,
)


@get("/containers", opt={OPERATION: _LIST})
async def list_containers(request: ApiRequest) -> wire.ContainerListResource:
    given = read_query(request.scope, *NAMES, "name")
    query = page_query(given, ids="cntr_")
    page = await request.services.containers.list(request.project_id, query, given.get("name"))
    data = [wire.container_resource(container) for container in page.items]
    return wire.ContainerListResource(data=data, **page_fields(data, has_more=page.has_more))


@post("/containers", status_code=200, opt={OPERATION: _CREATE})
async def create_container(request: ApiRequest) -> wire.ContainerResource:
    body = await read_json(request.scope, request.receive, wire.CreateContainerBody)
    with request.metrics.creating():
        container = await request.services.containers.create(request.project_id, new_container(body))
    return wire.container_resource(container)


@get("/containers/{container_id:str}", opt={OPERATION: _RETRIEVE})
async def retrieve_container(request: ApiRequest, container_id: FromPath[str]) -> wire.ContainerResource:
    return wire.container_resource(await request.services.containers.retrieve(request.project_id, container_id))


@post("/containers/{container_id:str}", status_code=200, opt={OPERATION: _UPDATE})
async def update_container(request: ApiRequest, container_id: FromPath[str]) -> wire.ContainerResource:
    body = await read_json(request.scope, request.receive, wire.UpdateContainerBody)
    change = ContainerChange(
        name=body.name,
        expires_after_minutes=body.expires_after.minutes if body.expires_after else None,
        network_policy=None if body.network_policy is None else _network_policy(body.network_policy),
        domain_secrets=_domain_secrets(body.network_policy),
        keeps_domain_secrets=body.keep_domain_secrets is True,
    )
    container = await request.services.containers.change(request.project_id, container_id, change)
    return wire.container_resource(container)


@delete("/containers/{container_id:str}", status_code=200, opt={OPERATION: _DELETE})
async def delete_container(request: ApiRequest, container_id: FromPath[str]) -> wire.DeletedContainer:
    await request.services.containers.delete(request.project_id, container_id)
    return wire.DeletedContainer(id=container_id)


def new_container(body: wire.CreateContainerBody) -> NewContainer:
    """Give what is asked for in our own terms. Raises ``InvalidRequestError``."""
    if body.skills:
        raise InvalidRequestError(
            "Skills are not supported by this server yet: leave 'skills' out or empty.",
            param="skills",
            code="unsupported_parameter",
        )
    return NewContainer(
        name=body.name,
        expires_after_minutes=body.expires_after.minutes if body.expires_after else None,
        file_ids=tuple(FileId(file_id) for file_id in body.file_ids or ()),
        memory_limit=MemoryLimit(body.memory_limit or "1g"),
        network_policy=_network_policy(body.network_policy),
        domain_secrets=_domain_secrets(body.network_policy),
    )


def _network_policy(body: wire.NetworkDisabledBody | wire.NetworkAllowlistBody | None) -> NetworkPolicy:
    """Give the policy in our own terms; whether it can be taken is the service's to say."""
    if not isinstance(body, wire.NetworkAllowlistBody):
        return NETWORK_DISABLED
    return NetworkPolicy("allowlist", tuple(body.allowed_domains))


def _domain_secrets(
    body: wire.NetworkDisabledBody | wire.NetworkAllowlistBody | None,
) -> tuple[NewDomainSecret, ...]:
    if not isinstance(body, wire.NetworkAllowlistBody):
        return ()
    return tuple(
        NewDomainSecret(domain=secret.domain, name=secret.name, value=secret.value)
        for secret in body.domain_secrets or ()
    )
