"""Spans as OpenTelemetry has them, sent by OTLP over HTTP. Imported only where an endpoint is set.

The tracer is the server's own and not the process's global one, which libraries would use as they like. A thread sends
spans in batches; when the collector is slow or away, the newest wait in a bounded queue and older ones are dropped.
"""

import logging
import threading
from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from atoll import __version__
from atoll.spans import Span

_QUEUE_MAX: Final = 4096
_BATCH_MAX: Final = 512
_EVERY_MS: Final = 2000.0
_SEND_TIMEOUT_S: Final = 5.0
_END_S_MAX: Final = 5.0
_PARENT_HEADERS: Final = (b"traceparent", b"tracestate")

_SAY_AGAIN_S: Final = 60.0


class OtlpTracing:
    """Belongs to one server. ``endpoint`` is a collector's base URL, below which ``/v1/traces`` takes spans."""

    def __init__(
        self,
        endpoint: str,
        headers: Mapping[str, str],
        sampled: float,
        *,
        send_timeout_s: float = _SEND_TIMEOUT_S,
        end_s_max: float = _END_S_MAX,
    ) -> None:
        """``sampled`` is the share of traces that are kept, of those that begin here; others bring their own word."""
        self._end_s_max = end_s_max
        self._exporter = exporter = OTLPSpanExporter(
            endpoint.rstrip("/") + "/v1/traces", headers=dict(headers), timeout=send_timeout_s
        )
        resource = Resource.create({"service.name": "atoll", "service.version": __version__})
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sampled)), resource=resource, shutdown_on_exit=False
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=_QUEUE_MAX,
                max_export_batch_size=_BATCH_MAX,
                schedule_delay_millis=_EVERY_MS,
            )
        )
        self._tracer = self._provider.get_tracer("atoll", __version__)
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)  # below, it tells of every single try
        logging.getLogger(OTLPSpanExporter.__module__).addFilter(_Seldom())
        self._propagator = TraceContextTextMapPropagator()

    def begin_request(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> Span:
        """Begin a request's span."""
        given = {name.decode(): value.decode("latin-1") for name, value in headers if name in _PARENT_HEADERS}
        parent = self._propagator.extract(given) if given else Context()
        return OtlpSpan(self._tracer, self._tracer.start_span(method, parent, kind=SpanKind.SERVER))

    def close(self) -> None:
        """Send what is left; a collector that does not answer is given up after a few seconds."""
        # The library would wait for half a minute, and a request that is on its way cannot be called back.
        sending = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        sending.start()
        sending.join(self._end_s_max)
        if sending.is_alive():
            self._exporter.shutdown()  # type: ignore[no-untyped-call]


class _Seldom(logging.Filter):
    """Lets a line through once a minute: a collector that is away fails every batch."""

    def __init__(self) -> None:
        super().__init__()
        self._said_at = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the line is written."""
        if record.created - self._said_at < _SAY_AGAIN_S:
            return False
        self._said_at = record.created
        return True


class OtlpSpan:
    """One span."""

    def __init__(self, tracer: Tracer, span: OtelSpan) -> None:
        self._tracer = tracer
        self._span = span

    @property
    def trace_id(self) -> str:
        """The trace's id as W3C writes it."""
        return format_trace_id(self._span.get_span_context().trace_id)

    def begin(self, name: str) -> Span:
        """Begin a stretch within this one."""
        return OtlpSpan(self._tracer, self._tracer.start_span(name, set_span_in_context(self._span)))

    def set(self, key: str, value: str | float | bool) -> None:
        """Add an attribute."""
        self._span.set_attribute(key, value)

    def fail(self, kind: str) -> None:
        """Say that it failed; no exception goes along, whose text may hold what people sent."""
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self, name: str | None = None) -> None:
        """End it."""
        if not self._span.is_recording():
            return
        if name is not None:
            self._span.update_name(name)
        self._span.end()
