"""Large files over HTTP with as little of a client as there can be: what is measured is the server."""

import http.client
import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

_BOUNDARY: Final = "a-boundary-that-is-not-in-the-file"
_BUFFER_BYTES: Final = 1024 * 1024


class FileTransfers:
    """Sends files and takes them in, each on a connection of its own. Raises ``RuntimeError`` for all but a 2xx."""

    def __init__(self, base_url: str, api_key: str = "") -> None:
        parts = urlsplit(base_url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._prefix = parts.path.rstrip("/")
        self._authorization = f"Authorization: Bearer {api_key}\r\n" if api_key else ""

    def post_form(self, path: str, source: Path, texts: Mapping[str, str] | None = None) -> Any:
        """Upload a file as the last part of a form; give the decoded answer."""
        parts = "".join(
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
            for name, text in (texts or {}).items()
        )
        head = (
            f'{parts}--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{source.name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        body = _Body(
            f"multipart/form-data; boundary={_BOUNDARY}", source, head=head, tail=f"\r\n--{_BOUNDARY}--\r\n".encode()
        )
        return self._send("POST", path, body)

    def put_body(self, path: str, source: Path) -> Any:
        """Upload a file as a request's body; give the decoded answer."""
        return self._send("PUT", path, _Body("application/octet-stream", source))

    def get(self, path: str, *, byte_range: str = "", take: Callable[[memoryview], object] | None = None) -> int:
        """Download; give the number of bytes, each piece of which ``take`` sees."""
        wanted = f"Range: bytes={byte_range}\r\n" if byte_range else ""
        with socket.create_connection(self._address) as connection:
            connection.sendall(self._head("GET", path, wanted))
            with http.client.HTTPResponse(connection) as response:
                response.begin()
                _refuse_failure("GET", path, response)
                buffer = memoryview(bytearray(_BUFFER_BYTES))
                size = 0
                while count := response.readinto(buffer):
                    size += count
                    if take is not None:
                        take(buffer[:count])
        return size

    def _send(self, method: str, path: str, body: "_Body") -> Any:
        headers = f"Content-Type: {body.content_type}\r\nContent-Length: {body.length}\r\n"
        with socket.create_connection(self._address) as connection, body.source.open("rb") as file:
            connection.sendall(self._head(method, path, headers) + body.head)
            connection.sendfile(file)
            connection.sendall(body.tail)
            with http.client.HTTPResponse(connection) as response:
                response.begin()
                _refuse_failure(method, path, response)
                return json.loads(response.read())

    def _head(self, method: str, path: str, headers: str) -> bytes:
        host, port = self._address
        return (
            f"{method} {self._prefix}{path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n"
            f"{self._authorization}{headers}\r\n"
        ).encode()


@dataclass(frozen=True, slots=True)
class _Body:
    """A request's body: a file, and what stands before and after it."""

    content_type: str
    source: Path
    head: bytes = b""
    tail: bytes = b""

    @property
    def length(self) -> int:
        return len(self.head) + self.source.stat().st_size + len(self.tail)


def _refuse_failure(method: str, path: str, response: http.client.HTTPResponse) -> None:
    if response.status // 100 != 2:
        raise RuntimeError(f"{method} {path} answered {response.status}: {response.read()[:300]!r}")
