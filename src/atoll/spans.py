"""Spans: stretches of time with a name, for a trace. Here is what everybody may use; ``atoll.otlp`` sends them off.

Where nobody wants traces, all of this is ``NO_SPAN``, which does nothing. Attributes are ids, names of ours and
numbers: never code, output, headers, file names or anything else that people send.
"""

from collections.abc import Iterable
from typing import Final, Protocol


class Span(Protocol):
    """One stretch of time; ended by ``end``, also when it failed."""

    @property
    def trace_id(self) -> str:
        """The trace that it belongs to, in hexadecimal; empty for one that goes nowhere."""
        ...

    def begin(self, name: str) -> "Span":
        """Begin a stretch within this one."""
        ...

    def set(self, key: str, value: str | float | bool) -> None:
        """Add an attribute."""
        ...

    def fail(self, kind: str) -> None:
        """Say that it failed, in a word."""
        ...

    def end(self, name: str | None = None) -> None:
        """End it, under another name if that is known only now. Again is no error."""
        ...


class Tracing(Protocol):
    """Where spans of requests come from."""

    def begin_request(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> Span:
        """Begin a request's span, in the trace that its ``traceparent`` names if it has one."""
        ...

    def close(self) -> None:
        """Send what is left, within a bounded time; blocks."""
        ...


class _NoSpan:
    """Does nothing."""

    trace_id = ""

    def begin(self, name: str) -> Span:  # noqa: ARG002 - as in the protocol
        return self

    def set(self, key: str, value: str | float | bool) -> None:
        pass

    def fail(self, kind: str) -> None:
        pass

    def end(self, name: str | None = None) -> None:
        pass


NO_SPAN: Final[Span] = _NoSpan()
