"""A program's answer: frames in, checked events out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from atoll.agent.errors import AgentMisbehavedError
from atoll.agent.fields import (
    INT64_MAX,
    Fields,
    read_boolean,
    read_fields,
    read_integer,
    read_object,
    read_optional_integer,
    read_string,
)
from atoll.agent.outcome import EXIT_CODE_MAX, SIGNAL_MAX
from atoll.agent.quota import Quota
from atoll.guest.protocol import FrameType
from atoll.model.processes import Exited, Lost, ProcessGap, ProcessOutcome, ProcessOutput, Signalled, TimedOut

_STREAMS: Final = ("stdout", "stderr")


@dataclass(frozen=True, slots=True)
class AgentProcessStarted:
    """The program runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentProcessEnded:
    """The last event. ``outcome`` is ``Lost`` for a program that the agent was told to end.

    ``made_room`` tells that all other processes were ended before it could be started. ``pids_taken`` is the agent's
    count at its end.
    """

    outcome: ProcessOutcome
    made_room: bool
    pids_taken: int


AgentProcessEvent = AgentProcessStarted | ProcessOutput | ProcessGap | AgentProcessEnded


class ProcessReader:
    """Takes the frames of one program in order; pure."""

    def __init__(self, *, output_bytes_max: int) -> None:
        self._quota = Quota("output of a program", output_bytes_max)
        self._has_started = False
        self._gaps_left = set(_STREAMS)

    def take(self, frame_type: FrameType, payload: bytes) -> Iterator[AgentProcessEvent]:
        """Give the events that a frame holds. Raises ``AgentMisbehavedError``."""
        match frame_type:
            case FrameType.STDOUT:
                yield from self._output(payload, b"")
            case FrameType.STDERR:
                yield from self._output(b"", payload)
            case FrameType.EVENT:
                yield self._event(read_fields(payload))
            case FrameType.RESULT:
                yield _ended(read_fields(payload))
            case _:
                raise AgentMisbehavedError(f"a {frame_type.name} frame has no place in a program's answer")

    def _output(self, stdout: bytes, stderr: bytes) -> Iterator[ProcessOutput]:
        if not self._has_started:
            raise AgentMisbehavedError("output of a program that was not started")
        self._quota.take(len(stdout) + len(stderr))
        if stdout or stderr:
            yield ProcessOutput(stdout, stderr)

    def _event(self, fields: Fields) -> AgentProcessEvent:
        match read_string(fields, "event"):
            case "started" if not self._has_started:
                self._has_started = True
                return AgentProcessStarted()
            case "omitted" if self._has_started:
                return self._gap(fields)
            case _:
                raise AgentMisbehavedError("an event that has no place in a program's answer")

    def _gap(self, fields: Fields) -> ProcessGap:
        stream = read_string(fields, "stream")
        if stream not in self._gaps_left:
            raise AgentMisbehavedError("a gap in a stream that has none any more")
        self._gaps_left.remove(stream)
        return ProcessGap(stream == "stderr", read_integer(fields, "bytes", 1, INT64_MAX))


def _ended(fields: Fields) -> AgentProcessEnded:
    return AgentProcessEnded(
        outcome=_outcome(read_object(fields, "outcome")),
        made_room=read_boolean(fields, "made_room"),
        pids_taken=read_optional_integer(fields, "pids_taken", 0, INT64_MAX) or 0,
    )


def _outcome(fields: Fields) -> ProcessOutcome:
    match read_string(fields, "type"):
        case "exit":
            return Exited(read_integer(fields, "exit_code", 0, EXIT_CODE_MAX))
        case "signal":
            return Signalled(read_integer(fields, "signal", 1, SIGNAL_MAX))
        case "timeout":
            return TimedOut()
        case "interrupted":
            return Lost()
        case _:
            raise AgentMisbehavedError("the outcome is of no known type")
