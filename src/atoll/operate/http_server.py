"""uvicorn's server, which says when its end begins."""

import socket
from collections.abc import Callable

import uvicorn


class HttpServer(uvicorn.Server):
    """Lets running requests finish, as uvicorn does, once ``on_stopping`` has told those to end that never would."""

    def __init__(self, config: uvicorn.Config, on_stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_stopping = on_stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            self._on_stopping()
        finally:
            await super().shutdown(sockets)
