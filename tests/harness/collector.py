"""A stand-in for an OpenTelemetry collector: takes spans by OTLP over HTTP on loopback, and keeps them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, slots=True)
class SpanSeen:
    """One span as it came; ids in hexadecimal."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, object]
    is_error: bool


class Collector:
    """What came: each body's bytes, the headers, and the spans in them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[SpanSeen] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    def spans(self, name: str | None = None) -> list[SpanSeen]:
        """Give the spans, in the order they came."""
        with self._lock:
            return [span for span in self._spans if name in (None, span.name)]

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        """Keep what one request brought."""
        request = ExportTraceServiceRequest.FromString(body)
        assert path == "/v1/traces"
        with self._lock:
            self.bodies.append(body)
            self.headers.append(headers)
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    self._spans += [
                        SpanSeen(
                            name=span.name,
                            trace_id=span.trace_id.hex(),
                            span_id=span.span_id.hex(),
                            parent_id=span.parent_span_id.hex(),
                            attributes={
                                pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value")
                                for pair in span.attributes
                            },
                            is_error=span.status.code == 2,
                        )
                        for span in scope.spans
                    ]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector on a free loopback port until the block ends."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the standard library
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
