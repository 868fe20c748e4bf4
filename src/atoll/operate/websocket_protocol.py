"""uvicorn's WebSocket protocol with bounds on what a client may make the server hold, and an end for dead ones.

As it comes, it answers pings of a client that does not read the answers, keeps the pieces of a message without counting
them, takes a client that is slow for a dead one, and waits for ever until the last bytes are taken by a dead one.
"""

from asyncio import AbstractEventLoop, Task, TimerHandle
from typing import Any, Final

from uvicorn._types import ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame

MESSAGE_BYTES_MAX: Final = 64 * 1024
PING_S: Final = 20.0
PONG_S_MAX: Final = 20.0

_PIECES_MAX: Final = 1024
_LAST_BYTES_S_MAX: Final = 10.0
_POLICY_VIOLATION: Final = 1008


class BoundedWebSocketProtocol(WebSocketsSansIOProtocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._has_heard = False
        self._is_stopped_up = False
        self._abort_timer: TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        self._has_heard = True
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        super().connection_lost(exc)

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= _PIECES_MAX:
            self.conn.fail(_POLICY_VIOLATION, "a message in too many pieces")
            self.handle_parser_exception()
            self._abort_later()
            return
        super().handle_cont(event)

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True  # it was answered by a refusal, which is no fault of the application's

    def pause_writing(self) -> None:
        """Read nothing of a client that does not read: what it sends may have to be answered."""
        super().pause_writing()
        if not self._is_stopped_up:
            self._is_stopped_up = True
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._is_stopped_up:
            self._is_stopped_up = False
            if not self.read_paused:
                self.transport.resume_reading()

    def keepalive_timeout(self) -> None:
        """Go on with a client whose answer may be among what was not read yet."""
        if self._has_heard or self.read_paused:
            self.pong_timer = None
            self.pending_ping_payload = None
            self.schedule_ping()
            return
        super().keepalive_timeout()
        self._abort_later()

    def send_keepalive_ping(self) -> None:
        self._has_heard = False
        super().send_keepalive_ping()

    def on_task_complete(self, task: Task[None]) -> None:
        super().on_task_complete(task)
        self._abort_later()

    def shutdown(self) -> None:
        super().shutdown()
        self._abort_later()

    def _abort_later(self) -> None:
        if self._abort_timer is None and not self.disconnected:
            self._abort_timer = self.loop.call_later(_LAST_BYTES_S_MAX, self.transport.abort)
