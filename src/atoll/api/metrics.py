"""What is counted, in the Prometheus text format; one registry for each application, nothing global."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, Literal, TypeVar

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from atoll.model.calls import CallStarted, PythonEnded, ShellEnded
from atoll.model.runtime_metrics import RuntimeMetrics

E = TypeVar("E")
CallKind = Literal["python", "shell"]

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_REQUEST_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """Counts requests and calls."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "atoll_http_requests", "Requests answered.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "atoll_http_request_seconds",
            "Time from a request's head to its answer's end.",
            ("method", "route"),
            buckets=_REQUEST_SECONDS,
            registry=self._registry,
        )
        self._in_flight = Gauge("atoll_calls_running", "Calls that run now.", ("kind",), registry=self._registry)
        self._queued = Gauge(
            "atoll_calls_waiting", "Calls that wait for their turn.", ("kind",), registry=self._registry
        )
        self._containers = Gauge(
            "atoll_containers_running", "Containers that can be used now, of all projects.", registry=self._registry
        )
        self._pool = Gauge(
            "atoll_pool_sandboxes", "Sandboxes kept ready, and how many should be.", ("which",), registry=self._registry
        )
        self._pool_creates = Gauge(
            "atoll_pool_creates",
            "Creates since the supervisor's start that a ready sandbox fits, by whether there was one.",
            ("found",),
            registry=self._registry,
        )
        self._calls = Counter("atoll_calls", "Calls that ended, by how.", ("kind", "status"), registry=self._registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    async def counting(self, kind: CallKind, events: AsyncGenerator[E, None]) -> AsyncGenerator[E, None]:
        """Give a call's events and count it: as waiting, then as running, then by how it ended."""
        gauge = self._queued.labels(kind)
        gauge.inc()
        status = "aborted"
        try:
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, CallStarted):
                        gauge.dec()
                        gauge = self._in_flight.labels(kind)
                        gauge.inc()
                    elif isinstance(event, (PythonEnded, ShellEnded)):
                        status = event.status
                    yield event
        finally:
            gauge.dec()
            self._calls.labels(kind, status).inc()

    def render(self, *, containers_running: int, runtime: RuntimeMetrics | None) -> bytes:
        """Give everything counted, and what was counted elsewhere."""
        if runtime is not None:
            self._pool.labels("ready").set(runtime.pool_ready)
            self._pool.labels("target").set(runtime.pool_target)
            self._pool_creates.labels("yes").set(runtime.pool_hits)
            self._pool_creates.labels("no").set(runtime.pool_misses)
        self._containers.set(containers_running)
        return generate_latest(self._registry)
