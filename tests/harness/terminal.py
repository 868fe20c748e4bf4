"""A client of terminals: what a person types, and what they see."""

import base64
import json
import re
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

SUBPROTOCOL = "atoll.terminal"


class Screen:
    """One connection to a terminal of a container; a new one, unless ``terminal_id`` names one."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        container_id: str,
        *,
        headers: dict[str, str] | None = None,
        subprotocols: list[str] | None = None,
        origin: str | None = None,
        query: dict[str, object] | None = None,
    ) -> None:
        url = f"{base_url.replace('http', 'ws', 1)}/containers/{container_id}/terminal?{urlencode(query or {})}"
        if api_key is not None:
            headers = {"Authorization": f"Bearer {api_key}", **(headers or {})}
        self._stack = ExitStack()
        self.socket: ClientConnection = self._stack.enter_context(
            connect(
                url,
                additional_headers=headers,
                subprotocols=[Subprotocol(one) for one in subprotocols] if subprotocols else None,
                origin=None if origin is None else Origin(origin),
                proxy=None,
                compression=None,
                max_queue=(1, 0),
                close_timeout=1,  # seconds: the server's answer may stand behind what nobody reads any more
            )
        )
        self.shown = b""
        self.shown_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._stack.close()

    def attached(self) -> str:
        """Wait for the first message; give the terminal's id."""
        message = self.message()
        assert message["type"] == "attached", message
        return str(message["terminal_id"])

    def settled(self) -> Self:
        """Wait for the shell, and give it a prompt to know it by."""
        self.type("bind 'set enable-bracketed-paste off'; PS1=rea''dy; PS2=\n")
        self.wait_for("ready")
        return self

    def type(self, keys: str | bytes) -> Self:
        """Press keys."""
        self.socket.send(keys.encode() if isinstance(keys, str) else keys)
        return self

    def order(self, **message: Any) -> Self:
        """Send a message that is not keys."""
        self.socket.send(json.dumps(message))
        return self

    def wait_for(self, pattern: str) -> str:
        """Read until what was shown since the last call matches; give the match."""
        while (found := re.search(pattern.encode(), self.shown)) is None:
            data = self._next()
            assert isinstance(data, bytes) or data["type"] == "attached", (data, self.shown[-500:])
        self.shown = self.shown[found.end() :]
        return found[0].decode()

    def run(self, command: str) -> str:
        """Run a command to its end; give what it showed."""
        self.type(f"{command}; echo en''d\n")
        self.wait_for(r"en''d\r\n")
        shown = self.wait_for(r"(?s).*?end\r\nready")
        return shown.removesuffix("end\r\nready").replace("\r\n", "\n")

    def message(self) -> dict[str, Any]:
        """Read until something comes that is not shown."""
        while not isinstance(found := self._next(), dict):
            pass
        return found

    def end(self) -> tuple[list[dict[str, Any]], int | None, str]:
        """Read to the end: messages, and with what code and reason the server closed."""
        messages = []
        try:
            while True:
                found = self._next()
                if isinstance(found, dict):
                    messages.append(found)
        except ConnectionClosed:
            return messages, self.socket.close_code, self.socket.close_reason or ""

    def _next(self) -> bytes | dict[str, Any]:
        try:
            data = self.socket.recv(timeout=30)
        except TimeoutError:
            raise AssertionError(f"nothing more came after {self.shown[-500:]!r}") from None
        if isinstance(data, str):
            message = json.loads(data)
            assert isinstance(message, dict)
            return message
        self.shown += data
        self.shown_bytes += len(data)
        return data


def key_subprotocol(api_key: str) -> str:
    """Give what a browser's page offers its key as."""
    return "atoll.key." + base64.urlsafe_b64encode(api_key.encode()).rstrip(b"=").decode()
