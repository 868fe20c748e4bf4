"""``POST /v1/containers/{container_id}/interrupt`` and ``/restart``: stop what runs, or everything."""

from typing import Final

from litestar import post
from litestar.params import FromPath

from atoll.api import wire
from atoll.api.operation import OPERATION, Operation
from atoll.api.request import ApiRequest

_INTERRUPT: Final = Operation(
    id="InterruptContainer",
    tag="Running code",
    summary="Stop the call that runs",
    description="Calls that wait stay in the queue; variables are kept where Python lets them be.",
    answer=wire.InterruptedContainer,
    errors=(400, 429),
)
_RESTART: Final = Operation(
    id="RestartContainer",
    tag="Running code",
    summary="End every process of a container",
    description="The next call has a fresh Python. Files are kept.",
    answer=wire.RestartedContainer,
    errors=(400, 429),
)


@post("/containers/{container_id:str}/interrupt", status_code=200, opt={OPERATION: _INTERRUPT})
async def interrupt_container(request: ApiRequest, container_id: FromPath[str]) -> wire.InterruptedContainer:
    interrupted = await request.services.calls.interrupt(request.project_id, container_id)
    return wire.InterruptedContainer(id=container_id, interrupted=interrupted)


@post("/containers/{container_id:str}/restart", status_code=200, opt={OPERATION: _RESTART})
async def restart_container(request: ApiRequest, container_id: FromPath[str]) -> wire.RestartedContainer:
    await request.services.calls.restart(request.project_id, container_id)
    return wire.RestartedContainer(id=container_id)
