"""Running one program: what is asked for, and the events that come back while it runs.

A program's life on the host is a stream of these events: ``ProcessStarted``, output in order, and exactly one
``ProcessEnded``. Output is bytes, as the program wrote them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from atoll.model.calls import EndCause
from atoll.model.ids import ProcessId


@dataclass(frozen=True, slots=True, kw_only=True)
class NewProcess:
    """``environment`` comes on top of what every program of the container has. ``None`` means the default.

    ``cwd`` may be relative to ``/mnt/data``. Without ``stdin`` there is nothing to read. ``output_bytes_max`` counts
    both streams together.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    user: str | None = None
    stdin: bytes | None = None
    timeout_ms: int | None = None
    output_bytes_max: int | None = None


@dataclass(frozen=True, slots=True)
class ProcessStarted:
    """The program runs."""

    id: ProcessId


@dataclass(frozen=True, slots=True)
class ProcessOutput:
    """A piece of what it wrote."""

    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True)
class ProcessGap:
    """The middle of a stream was over the limit: what comes next of it is its end. At most one for each."""

    is_stderr: bool
    omitted_bytes: int


@dataclass(frozen=True, slots=True)
class Exited:
    """It ended by itself."""

    exit_code: int


@dataclass(frozen=True, slots=True)
class Signalled:
    """A signal ended it."""

    signal: int


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Its time ran out and it was ended."""


@dataclass(frozen=True, slots=True)
class Lost:
    """How it ended is not known, because of what ``cause`` of ``ProcessEnded`` names."""


ProcessOutcome = Exited | Signalled | TimedOut | Lost


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessEnded:
    """``notes`` are lines for people about what the limits did."""

    outcome: ProcessOutcome
    notes: tuple[str, ...]
    cause: EndCause

    @property
    def status(self) -> Literal["completed", "incomplete", "failed"]:
        """In the words of calls."""
        match self.outcome:
            case Exited() | Signalled():
                return "completed"
            case TimedOut():
                return "incomplete"
            case Lost():
                return "failed"


ProcessEvent = ProcessStarted | ProcessOutput | ProcessGap | ProcessEnded
