"""A shell call's answer: frames in, checked events out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from atoll.agent.errors import AgentMisbehavedError
from atoll.agent.fields import (
    INT64_MAX,
    Fields,
    read_fields,
    read_flag,
    read_integer,
    read_optional_integer,
    read_string,
)
from atoll.agent.files import AgentFile, read_files
from atoll.agent.outcome import EXIT_CODE_MAX, Outcome, OutcomeType, read_outcome
from atoll.agent.quota import Quota
from atoll.agent.text import TextDecoder
from atoll.guest.protocol import FrameType
from atoll.model.calls import CommandOutput

_OUTCOMES: Final = frozenset({OutcomeType.OK, OutcomeType.TIMEOUT, OutcomeType.INTERRUPTED})
_UTF8_BYTES_PER_CHARACTER_MAX: Final = 4


@dataclass(frozen=True, slots=True)
class AgentCommandEnded:
    """One command's end, as ``atoll.model.calls.CommandEnded``.

    ``pids_taken`` is the agent's count at that moment, 0 from one too old to count. ``omitted_bytes`` of its output
    were left out.
    """

    index: int
    exit_code: int | None
    pids_taken: int = 0
    omitted_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentShellEnded:
    """The last event of a shell call. ``files`` were made or changed by it; ``disk_full`` is about its end."""

    outcome: Outcome
    files: tuple[AgentFile, ...]
    disk_full: bool = False


AgentShellEvent = CommandOutput | AgentCommandEnded | AgentShellEnded


class ShellReader:
    """Takes the frames of one call in order; pure.

    Every command gets exactly one ``AgentCommandEnded``, in order and before the last event: those that a time-out or
    an interrupt kept from ending, or from starting, get one without an exit code.
    """

    def __init__(self, *, commands_count: int, output_chars_max: int) -> None:
        self._commands_count = commands_count
        self._output_bytes_max = output_chars_max * _UTF8_BYTES_PER_CHARACTER_MAX
        self._index = 0
        self._start_command()

    def take(self, frame_type: FrameType, payload: bytes) -> Iterator[AgentShellEvent]:
        """Give the events that a frame holds. Raises ``AgentMisbehavedError``."""
        match frame_type:
            case FrameType.STDOUT:
                yield from self._output(self._text(self._stdout, payload), "")
            case FrameType.STDERR:
                yield from self._output("", self._text(self._stderr, payload))
            case FrameType.EVENT:
                yield from self._command_ended(read_fields(payload))
            case FrameType.RESULT:
                yield from self._ended(read_fields(payload))
            case _:
                raise AgentMisbehavedError(f"a {frame_type.name} frame has no place in a shell call")

    def _start_command(self) -> None:
        self._quota = Quota("output of a command", self._output_bytes_max)
        self._stdout, self._stderr = TextDecoder(), TextDecoder()

    def _text(self, decoder: TextDecoder, payload: bytes) -> str:
        if self._index == self._commands_count:
            raise AgentMisbehavedError("output after the last command has ended")
        self._quota.take(len(payload))
        return decoder.feed(payload)

    def _output(self, stdout: str, stderr: str) -> Iterator[CommandOutput]:
        if stdout or stderr:
            yield CommandOutput(self._index, stdout, stderr)

    def _command_ended(self, fields: Fields) -> Iterator[AgentShellEvent]:
        if read_string(fields, "event") != "command_ended":
            raise AgentMisbehavedError("an event that has no place in a shell call")
        if self._index == self._commands_count or read_integer(fields, "index", 0, self._index) != self._index:
            raise AgentMisbehavedError("commands ended that were not the next one")
        exit_code = read_optional_integer(fields, "exit_code", 0, EXIT_CODE_MAX)
        pids_taken = read_optional_integer(fields, "pids_taken", 0, INT64_MAX) or 0
        omitted_bytes = read_optional_integer(fields, "omitted_bytes", 0, INT64_MAX) or 0
        yield from self._end_command(exit_code, pids_taken, omitted_bytes)

    def _end_command(
        self, exit_code: int | None, pids_taken: int = 0, omitted_bytes: int = 0
    ) -> Iterator[AgentShellEvent]:
        yield from self._output(self._stdout.finish(), self._stderr.finish())
        yield AgentCommandEnded(self._index, exit_code, pids_taken, omitted_bytes)
        self._index += 1
        self._start_command()

    def _ended(self, fields: Fields) -> Iterator[AgentShellEvent]:
        ended = AgentShellEnded(
            outcome=read_outcome(fields, _OUTCOMES),
            files=read_files(fields),
            disk_full=read_flag(fields, "disk_full"),
        )
        if self._index < self._commands_count and ended.outcome.type is OutcomeType.OK:
            raise AgentMisbehavedError("the call is said to have ended well, but not all of its commands have")
        while self._index < self._commands_count:
            yield from self._end_command(None)
        yield ended
