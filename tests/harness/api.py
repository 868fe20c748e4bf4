"""A thin client of the HTTP API: says what it sends and gives back what came, without retries."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import httpx

from tests.harness.events import Event, read_events

Json = dict[str, Any]


class Api:
    """One key's view of a server. Threads may share it."""

    def __init__(self, base_url: str, api_key: str, *, timeout_s: float = 60.0) -> None:
        self.base_url = base_url
        self.api_key = api_key
        self._http = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=200, max_keepalive_connections=32),
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request below the base URL; whatever comes back is given back."""
        return self._http.request(method, path, **options)

    def call(self, method: str, path: str, **options: Any) -> Json:
        """Send one request, and give its JSON; anything but 200 is a failed assertion."""
        response = self.send(method, path, **options)
        assert response.status_code == 200, f"{method} {path}: {response.status_code} {response.text[:500]}"
        answer = response.json()
        assert isinstance(answer, dict)
        return answer

    def create(self, name: str = "test", **body: Any) -> Json:
        """Make a container."""
        return self.call("POST", "/containers", json={"name": name, **body})

    def retrieve(self, container_id: str) -> Json:
        """Give a container."""
        return self.call("GET", f"/containers/{container_id}")

    def delete(self, container_id: str) -> Json:
        """Remove a container."""
        return self.call("DELETE", f"/containers/{container_id}")

    def containers(self, **query: Any) -> list[Json]:
        """Give all containers, page after page."""
        return self._all("/containers", **query)

    def upload(self, container_id: str, name: str, content: bytes) -> Json:
        """Put a file into a container."""
        return self.call("POST", f"/containers/{container_id}/files", files={"file": (name, content)})

    def files(self, container_id: str, **query: Any) -> list[Json]:
        """Give all files of a container, page after page."""
        return self._all(f"/containers/{container_id}/files", **query)

    def file_at(self, container_id: str, path: str) -> Json:
        """Give the file that is at a path."""
        found = [file for file in self.files(container_id) if file["path"] == path]
        assert len(found) == 1, f"{path}: {found}"
        return found[0]

    def content(self, container_id: str, file_id: str) -> bytes:
        """Give a file's bytes."""
        response = self.send("GET", f"/containers/{container_id}/files/{file_id}/content")
        assert response.status_code == 200, f"{response.status_code} {response.text[:500]}"
        return response.content

    def python(self, container_id: str, code: str, **body: Any) -> Json:
        """Run Python; give the ``code_interpreter_call`` item."""
        return self.call("POST", f"/containers/{container_id}/code_interpreter_calls", json={"code": code, **body})

    def logs(self, container_id: str, code: str, **body: Any) -> str:
        """Run Python that must complete; give its text output."""
        call = self.python(container_id, code, **body)
        assert call["status"] == "completed", call
        return logs_of(call)

    def shell(self, container_id: str, *commands: str, **body: Any) -> list[Json]:
        """Run commands; give the output of each."""
        call = self.call("POST", f"/containers/{container_id}/shell_calls", json={"commands": commands, **body})
        output = call["output"]
        assert isinstance(output, list)
        return output

    def process(self, container_id: str, *argv: str, **body: Any) -> Json:
        """Run a program; give the ``container.process``."""
        return self.call("POST", f"/containers/{container_id}/processes", json={"argv": argv, **body})

    @contextmanager
    def opened(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        """Send one request; give its answer when it has begun. Leaving early hangs up."""
        with self._http.stream(method, path, **options) as response:
            yield response

    @contextmanager
    def streamed(self, path: str, body: Json) -> Iterator[Iterator[Event]]:
        """Start a call with ``stream: true``; give its events as they come. Leaving early hangs up."""
        with self._http.stream("POST", path, json={**body, "stream": True}) as response:
            if response.status_code != 200:
                response.read()
            assert response.status_code == 200, f"{response.status_code} {response.text[:500]}"
            assert response.headers["content-type"].startswith("text/event-stream")
            yield read_events(response.iter_lines())

    def _all(self, path: str, **query: Any) -> list[Json]:
        found: list[Json] = []
        while True:
            page = self.call("GET", path, params={"limit": 100, **query})
            found += page["data"]
            if not page["has_more"]:
                return found
            query["after"] = page["last_id"]


def logs_of(call: Json) -> str:
    """Give a Python call's text output."""
    return "".join(output["logs"] for output in call["outputs"] if output["type"] == "logs")
