"""``GET /health``: the server is up. It asks nobody, so it answers when everything else is busy."""

from typing import Final

from litestar import get

from atoll.api import wire
from atoll.api.operation import OPERATION, Operation

_HEALTH: Final = Operation(
    id="health", tag="Service", summary="Tell that the server is up", answer=wire.Health, public=True
)


@get("/health", opt={OPERATION: _HEALTH})
async def health() -> wire.Health:
    return wire.Health()
