"""What is counted, in the Prometheus text format; one registry for each application, nothing global."""

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from atoll import about
from atoll.api.egress_families import EgressFamilies
from atoll.api.reconciler_families import ReconcilerFamilies
from atoll.api.runtime_families import RuntimeFamilies
from atoll.model.calls import CallStarted, PythonEnded, ShellEnded
from atoll.model.egress_decision import EgressCounts
from atoll.model.errors import RefusalReason
from atoll.model.processes import ProcessEnded, ProcessStarted
from atoll.model.reconciler_counts import ReconcilerCounts
from atoll.model.runtime_metrics import RuntimeMetrics
from atoll.spans import NO_SPAN

CallKind = Literal["python", "shell", "process"]

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """Counts requests, creates and calls. ``clock`` gives seconds that never go back."""

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, *, reconciled: ReconcilerCounts | None = None
    ) -> None:
        # A second number for each, in all of the process; when it started is told anyway.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._clock = clock
        self._registry = registry = CollectorRegistry()
        self._requests = _Requests(registry)
        self._refusals = Counter(
            "atoll_refusals",
            "Requests answered with 429, by what there was no room in.",
            ("reason",),
            registry=registry,
        )
        self._containers = Gauge(
            "atoll_containers_running", "Containers that can be used now, of all projects.", registry=registry
        )
        self._creating = Gauge("atoll_creates_running", "Containers that are being made now.", registry=registry)
        self._create_seconds = Histogram(
            "atoll_container_create_seconds",
            "Time to make a container, its files included; failures are not counted.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._calls = _Calls(registry)
        self._terminals = _Terminals(registry)
        self._event_streams = _EventStreams(registry)
        self._runtime = RuntimeFamilies()
        registry.register(self._runtime)
        self._egress = EgressFamilies()
        registry.register(self._egress)
        registry.register(ReconcilerFamilies(reconciled or ReconcilerCounts()))
        ProcessCollector(registry=registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.answered(method, route, status, seconds)

    def carried(self, bytes_in: int, bytes_out: int) -> None:
        """Count the bytes of a request's body and of its answer's."""
        self._requests.carried(bytes_in, bytes_out)

    def refused(self, reason: RefusalReason) -> None:
        """Count a request that there was no room for."""
        self._refusals.labels(reason).inc()

    @contextmanager
    def creating(self) -> Iterator[None]:
        """Count a container that the body makes."""
        started_at = self._clock()
        with self._creating.track_inprogress():
            yield
        self._create_seconds.observe(self._clock() - started_at)

    def call(self, kind: CallKind) -> "CallCount":
        """Give what counts one call."""
        return CallCount(self._calls, kind, self._clock)

    @contextmanager
    def terminal(self) -> "Iterator[TerminalCount]":
        """Count a connection to a terminal while the body serves it."""
        terminals = self._terminals
        counting = TerminalCount(terminals.carried)
        with terminals.open.track_inprogress():
            try:
                yield counting
            finally:
                terminals.ended.labels(counting.ended).inc()

    def event_stream(self) -> "EventStreamCount":
        """Give what counts one stream of events."""
        return EventStreamCount(self._event_streams)

    def render(
        self, *, containers_running: int, runtime: RuntimeMetrics | None, egress: EgressCounts | None = None
    ) -> bytes:
        """Give everything counted, and what was counted elsewhere."""
        self._runtime.current = runtime
        self._egress.current = egress
        self._containers.set(containers_running)
        return generate_latest(self._registry)


class CallCount:
    """Counts one call while the body runs: as waiting, then as running, then, if it ever ran, by how it ended."""

    def __init__(self, calls: "_Calls", kind: CallKind, clock: Callable[[], float]) -> None:
        self._calls = calls
        self._kind = kind
        self._clock = clock
        self._since = 0.0
        self._runs = False
        self._status, self._cause = "aborted", "client"
        self._span = NO_SPAN

    def __enter__(self) -> None:
        self._since = self._clock()
        self._next_span("call.wait")
        self._calls.waiting[self._kind].inc()

    def take(self, event: object) -> None:
        """Note an event of the call."""
        if isinstance(event, (CallStarted, ProcessStarted)):
            now = self._clock()
            self._calls.waiting[self._kind].dec()
            self._calls.wait_seconds[self._kind].observe(now - self._since)
            self._calls.running[self._kind].inc()
            self._since, self._runs = now, True
            self._next_span("call")
        elif isinstance(event, (PythonEnded, ShellEnded, ProcessEnded)):
            self._status, self._cause = event.status, event.cause

    def __exit__(self, *_: object) -> None:
        if self._span is not NO_SPAN:
            if self._runs:
                self._span.set("atoll.call.status", self._status)
                self._span.set("atoll.call.cause", self._cause)
            self._end_span()
        if self._runs:
            self._calls.running[self._kind].dec()
            self._calls.seconds[self._kind].observe(self._clock() - self._since)
            self._calls.ended(self._kind, self._status, self._cause).inc()
        else:
            self._calls.waiting[self._kind].dec()

    def _next_span(self, name: str) -> None:
        """End the span that runs and begin another, where the request has any."""
        here = about.current()
        if here is None or here.span is NO_SPAN:
            return
        self._end_span()
        self._span = here.span.begin(name)
        self._span.set("atoll.call.kind", self._kind)

    def _end_span(self) -> None:
        here = about.current()
        if here is not None and here.container_id:  # which is not known when the wait begins
            self._span.set("atoll.container.id", here.container_id)
        self._span.end()


class _Requests:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._answered = Counter(
            "atoll_http_requests", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "atoll_http_request_seconds",
            "Time from a request's head to its answer's end.",
            ("method", "route"),
            buckets=_SECONDS,
            registry=registry,
        )
        body_bytes = Counter("atoll_http_body_bytes", "Bytes of bodies.", ("direction",), registry=registry)
        self._bytes_in, self._bytes_out = body_bytes.labels("in"), body_bytes.labels("out")
        # Finding children by their labels costs more than counting, and every request does it.
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        key = (method, route, status)
        children = self._children.get(key)
        if children is None:
            children = self._answered.labels(method, route, str(status)), self._seconds.labels(method, route)
            self._children[key] = children
        children[0].inc()
        children[1].observe(seconds)

    def carried(self, bytes_in: int, bytes_out: int) -> None:
        if bytes_in:
            self._bytes_in.inc(bytes_in)
        if bytes_out:
            self._bytes_out.inc(bytes_out)


class TerminalCount:
    """One connection to a terminal; ``ended`` is set to why it did, unless that is the end of the server."""

    def __init__(self, carried: Callable[[Literal["in", "out"], int], None]) -> None:
        self.ended = "server"
        self.carried = carried


class EventStreamCount:
    """Counts one stream of events while the body runs; ``ended`` is set to why it did, unless the client went."""

    def __init__(self, streams: "_EventStreams") -> None:
        self._streams = streams
        self.ended: Literal["client", "slow", "over"] = "client"

    def __enter__(self) -> None:
        self._streams.open.inc()

    def __exit__(self, *_: object) -> None:
        self._streams.open.dec()
        self._streams.ended.labels(self.ended).inc()

    def missed(self, count: int) -> None:
        """Count events that the stream went without."""
        self._streams.missed.inc(count)


class _EventStreams:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.open = Gauge("atoll_event_streams_open", "Streams of events now.", registry=registry)
        self.ended = Counter(
            "atoll_event_streams", "Streams of events that ended, by why.", ("cause",), registry=registry
        )
        self.missed = Counter(
            "atoll_events_missed", "Events that streams went without, having read too slowly.", registry=registry
        )


class _Terminals:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.open = Gauge("atoll_terminal_connections_open", "Connections to terminals now.", registry=registry)
        self.ended = Counter(
            "atoll_terminal_connections", "Connections to terminals that ended, by why.", ("cause",), registry=registry
        )
        carried = Counter(
            "atoll_terminal_bytes", "Bytes typed into terminals, and shown.", ("direction",), registry=registry
        )
        self._bytes = {"in": carried.labels("in"), "out": carried.labels("out")}

    def carried(self, direction: Literal["in", "out"], size: int) -> None:
        self._bytes[direction].inc(size)


class _Calls:
    def __init__(self, registry: CollectorRegistry) -> None:
        kinds: tuple[CallKind, ...] = ("python", "shell", "process")
        running = Gauge("atoll_calls_running", "Calls that run now.", ("kind",), registry=registry)
        waiting = Gauge("atoll_calls_waiting", "Calls that wait for their turn.", ("kind",), registry=registry)
        seconds = Histogram(
            "atoll_call_seconds",
            "Time that a call ran, to its last output.",
            ("kind",),
            buckets=_SECONDS,
            registry=registry,
        )
        wait_seconds = Histogram(
            "atoll_call_wait_seconds",
            "Time that a call waited for its turn and, where there was need, for its sandbox.",
            ("kind",),
            buckets=_SECONDS,
            registry=registry,
        )
        ended = Counter("atoll_calls", "Calls that ended, by how.", ("kind", "status", "cause"), registry=registry)
        self.ended: Callable[[CallKind, str, str], Counter] = functools.cache(ended.labels)
        self.running = {kind: running.labels(kind) for kind in kinds}
        self.waiting = {kind: waiting.labels(kind) for kind in kinds}
        self.seconds = {kind: seconds.labels(kind) for kind in kinds}
        self.wait_seconds = {kind: wait_seconds.labels(kind) for kind in kinds}
