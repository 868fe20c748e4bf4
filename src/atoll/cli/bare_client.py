"""A thin HTTP client for measuring: one kept-alive connection a thread, nothing between the clock and the wire."""

import http.client
import json
import threading
from typing import Any
from urllib.parse import urlsplit


class BareClient:
    """Speaks JSON to an Atoll server; raises ``RuntimeError`` for any answer but a 2xx."""

    def __init__(self, base_url: str, api_key: str) -> None:
        parts = urlsplit(base_url)
        self._host = parts.hostname or "127.0.0.1"
        self._is_secure = parts.scheme == "https"
        self._port = parts.port or (443 if self._is_secure else 80)
        self._prefix = parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        self._local = threading.local()

    def close(self) -> None:
        """Hang up, in this thread."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def request(self, method: str, path: str, body: dict[str, object] | None = None) -> Any:
        """Send one request below the base URL's path and give the decoded JSON answer."""
        return self.exchange_json(method, self._prefix + path, body)

    def create(self, **body: object) -> str:
        """Make a container; give its id."""
        return str(self.request("POST", "/containers", {"name": "benchmark", **body})["id"])

    def delete(self, container_id: str) -> None:
        """Remove a container."""
        self.request("DELETE", f"/containers/{container_id}")

    def python(self, container_id: str, code: str, *, expect: str | None = None) -> str:
        """Run Python; give its text output. Raises when the call did not complete or its output is another."""
        call = self.request("POST", f"/containers/{container_id}/code_interpreter_calls", {"code": code})
        if call["status"] != "completed":
            raise RuntimeError(f"the call ended as {call['status']}: {call['outputs']}")
        logs = "".join(output["logs"] for output in call["outputs"] if output["type"] == "logs")
        if expect is not None and logs != expect:
            raise RuntimeError(f"expected {expect!r}, got {logs[:300]!r}")
        return logs

    def shell(self, container_id: str, command: str) -> None:
        """Run a command. Raises when it did not end well."""
        call = self.request("POST", f"/containers/{container_id}/shell_calls", {"commands": [command]})
        if call["status"] != "completed" or call["output"][0]["outcome"] != {"type": "exit", "exit_code": 0}:
            raise RuntimeError(f"the call ended as {call['status']}: {call['output']}")

    def exchange_json(self, method: str, path: str, body: dict[str, object] | None = None) -> Any:
        """Send one request for a path of the server and give the decoded JSON answer."""
        return json.loads(self.exchange(method, path, body))

    def exchange(self, method: str, path: str, body: dict[str, object] | None = None) -> bytes:
        """The same, and give the answer's bytes."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connect = http.client.HTTPSConnection if self._is_secure else http.client.HTTPConnection
            connection = connect(self._host, self._port, timeout=120)
            self._local.connection = connection
        try:
            connection.request(method, path, None if body is None else json.dumps(body), self._headers)
            response = connection.getresponse()
            payload = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        if response.status // 100 != 2:
            raise RuntimeError(f"{method} {path} answered {response.status}: {payload[:300]!r}")
        return payload
