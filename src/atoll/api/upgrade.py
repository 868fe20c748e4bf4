"""The way out of one WebSocket: what holds for each, whoever serves it.

One that is refused before it is accepted is answered as any other request is, in JSON and with a status: ``4403`` and a
reason as 403 with that message. Whatever the router refuses, it does so because there is no such path.
"""

from typing import Final, cast

import msgspec
from litestar.types import HTTPResponseBodyEvent, Message, Send, WebSocketScope

from atoll.api.errors import ErrorBody, ErrorResponse

CLOSE_CODE_OF_STATUS: Final = 4000
"""What is added to an error's status to make the code that a WebSocket is closed with."""

_NO_SUCH_PATH: Final = 4404
_REFUSED: Final = 403
_SWITCHING: Final = 101


class UpgradeAnswer:
    """Adds ``x-request-id``, knows whether the connection was accepted, and with which status it was answered."""

    def __init__(self, scope: WebSocketScope, send: Send, request_id: str) -> None:
        self._scope = scope
        self._send = send
        self._request_id = (b"x-request-id", request_id.encode("ascii"))
        self.was_accepted = False
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        """Pass one message on."""
        if message["type"] == "websocket.accept":
            self.was_accepted, self.status = True, _SWITCHING
            headers = [*message.get("headers", ()), self._request_id]
            message = cast("Message", {**message, "headers": headers})
        elif message["type"] == "websocket.close" and not self.was_accepted:
            if "path_template" in cast("dict[str, object]", self._scope):
                await self._refuse(message.get("code", 0), message.get("reason") or "The connection was refused.")
            else:
                await self._refuse(_NO_SUCH_PATH, f"Invalid URL (WebSocket {self._scope['path']})")
            return
        await self._send(message)

    async def _refuse(self, code: int, reason: str) -> None:
        status = code - CLOSE_CODE_OF_STATUS
        if not 400 <= status < 600:
            status = _REFUSED
        self.status = status
        kind = "server_error" if status >= 500 else "invalid_request_error"
        body = msgspec.json.encode(ErrorResponse(ErrorBody(message=reason, type=kind, param=None, code=None)))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"x-content-type-options", b"nosniff"),
            self._request_id,
        ]
        start = {"type": "websocket.http.response.start", "status": status, "headers": headers}
        await self._send(cast("Message", start))
        end = {"type": "websocket.http.response.body", "body": body, "more_body": False}
        await self._send(cast("HTTPResponseBodyEvent", end))
