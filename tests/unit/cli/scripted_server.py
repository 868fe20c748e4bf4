"""A server on loopback that answers what a test tells it to, and remembers what it was asked."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    method: str
    path: str
    authorization: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; ``body`` is sent as JSON unless it is bytes."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class ScriptedServer:
    """``answers`` by method and path, with the query or else without it; anything else is a 404.

    Of several answers each is given once, the last one from then on.
    """

    base_url: str
    answers: dict[str, Answer | list[Answer]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def running_server() -> Iterator[ScriptedServer]:
    """Run one until the end of the block."""
    scripted = ScriptedServer("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self._chunks() if "chunked" in self.headers.get("transfer-encoding", "") else self._body()
            scripted.asked.append(Asked(self.command, self.path, self.headers.get("authorization"), body))
            answer = self._answer()
            content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in {"content-length": str(len(content)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def _answer(self) -> Answer:
            for wanted in (f"{self.command} {self.path}", f"{self.command} {self.path.partition('?')[0]}"):
                match scripted.answers.get(wanted):
                    case Answer() as answer:
                        return answer
                    case [answer]:
                        return answer
                    case [answer, *rest]:
                        scripted.answers[wanted] = rest
                        return answer
            return Answer({"error": {"message": "Nothing here."}}, 404)

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("content-length", 0)))

        def _chunks(self) -> bytes:
            pieces = []
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        scripted.base_url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        try:
            yield scripted
        finally:
            server.shutdown()
            thread.join()
