"""Answers of calls, built from a call's events: the item as a whole, and the stream events on the way to it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from msgspec import UNSET

from atoll.api import wire
from atoll.api.json_text import JsonText
from atoll.model.calls import (
    CallStarted,
    CommandEnded,
    CommandOutput,
    Html,
    Image,
    Logs,
    PythonEnded,
    PythonEvent,
    ShellEnded,
    ShellEvent,
)


class PythonItem:
    """A ``code_interpreter_call`` in the making."""

    def __init__(self, container_id: str, code: str) -> None:
        self._container_id = container_id
        self._code = code
        self._id = ""
        self._status: wire.CallStatus = "in_progress"
        self._outputs: list[JsonText | wire.ImageOutput | wire.HtmlOutput] = []
        self._files: list[wire.ContainerFileResource] = []
        self._sequence = 0
        self.held_bytes = 0

    def take(self, event: PythonEvent) -> Sequence[wire.PythonStreamEvent]:
        """Add an event to the item and give what a stream says about it."""
        match event:
            case CallStarted(call_id):
                return self._started(call_id)
            case Logs(text):
                self._add_logs(text)
                return (wire.PythonLogsDelta(sequence_number=self._next(), item_id=self._id, delta=text),)
            case Image():
                url = self._add_image(event)
                return (wire.PythonImageAdded(sequence_number=self._next(), item_id=self._id, url=url),)
            case Html(text):
                html = self._add_html(text)
                return (wire.PythonHtmlAdded(sequence_number=self._next(), item_id=self._id, html=html),)
            case PythonEnded():
                return self._ended(event)

    def item(self) -> wire.CodeInterpreterCall:
        """Give the item as it stands."""
        return wire.CodeInterpreterCall(
            id=self._id,
            status=self._status,
            code=self._code,
            container_id=self._container_id,
            outputs=[
                wire.LogsOutput(logs=output.as_field()) if isinstance(output, JsonText) else output
                for output in self._outputs
            ],
            files=self._files,
        )

    def _started(self, call_id: str) -> Sequence[wire.PythonStreamEvent]:
        self._id = call_id
        started = wire.PythonStarted(sequence_number=self._next(), item_id=call_id, item=self.item())
        self._status = "interpreting"
        return started, wire.PythonInterpreting(sequence_number=self._next(), item_id=call_id)

    def _ended(self, event: PythonEnded) -> Sequence[wire.PythonStreamEvent]:
        self._status = event.status
        self._files = [wire.container_file_resource(file) for file in event.files]
        ends: list[wire.PythonStreamEvent] = []
        if event.status == "completed":
            ends.append(wire.PythonCompleted(sequence_number=self._next(), item_id=self._id))
        ends.append(wire.PythonItemDone(sequence_number=self._next(), item=self.item()))
        return ends

    def _add_logs(self, text: str) -> None:
        """Join neighbouring pieces: where output was cut into events is an accident of timing."""
        logs = self._outputs[-1] if self._outputs else None
        if not isinstance(logs, JsonText):
            logs = JsonText()
            self._outputs.append(logs)
        before = logs.size_bytes
        logs.append(text)
        self.held_bytes += logs.size_bytes - before

    def _add_image(self, image: Image) -> str:
        url = JsonText()
        url.append_plain(f"data:{image.media_type};base64,".encode("ascii"))
        url.append_plain(image.base64)
        self.held_bytes += url.size_bytes
        self._outputs.append(wire.ImageOutput(url=url.as_field()))
        return url.as_field()

    def _add_html(self, text: str) -> str:
        html = JsonText()
        html.append(text)
        self.held_bytes += html.size_bytes
        self._outputs.append(wire.HtmlOutput(html=html.as_field()))
        return html.as_field()

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence - 1


@dataclass(slots=True)
class _Command:
    stdout: JsonText = field(default_factory=JsonText)
    stderr: JsonText = field(default_factory=JsonText)
    outcome: wire.ExitOutcome | wire.TimeoutOutcome = field(default_factory=wire.TimeoutOutcome)

    def result(self) -> wire.CommandResult:
        return wire.CommandResult(stdout=self.stdout.as_field(), stderr=self.stderr.as_field(), outcome=self.outcome)


class ShellItem:
    """A ``shell_call_output`` in the making; it has one result for each command, in their order."""

    def __init__(self, call_id: str, commands: int, max_output_length: int | None) -> None:
        self._call_id = call_id
        self._max_output_length = max_output_length
        self._id = ""
        self._status: Literal["in_progress", "completed", "incomplete"] = "in_progress"
        self._commands = [_Command() for _ in range(commands)]
        self._files: list[wire.ContainerFileResource] = []
        self._sequence = 0

    def take(self, event: ShellEvent) -> Sequence[wire.ShellStreamEvent]:
        """Add an event to the item and give what a stream says about it."""
        match event:
            case CallStarted(item_id):
                self._id = item_id
                return (wire.ShellItemAdded(sequence_number=self._next(), item=self.item()),)
            case CommandOutput(index, stdout, stderr):
                return self._output(index, stdout, stderr)
            case CommandEnded(index, exit_code):
                return self._command_ended(index, exit_code)
            case ShellEnded(status=status, files=files):
                self._status = status
                self._files = [wire.container_file_resource(file) for file in files]
                return (wire.ShellItemDone(sequence_number=self._next(), item=self.item()),)

    @property
    def held_bytes(self) -> int:
        """How much of the call's output it holds."""
        return sum(command.stdout.size_bytes + command.stderr.size_bytes for command in self._commands)

    def item(self) -> wire.ShellCallOutput:
        """Give the item as it stands; results only once the call has ended."""
        ended = self._status != "in_progress"
        return wire.ShellCallOutput(
            id=self._id,
            call_id=self._call_id,
            status=self._status,
            max_output_length=self._max_output_length,
            output=[command.result() for command in self._commands] if ended else [],
            files=self._files,
        )

    def _output(self, index: int, stdout: str, stderr: str) -> Sequence[wire.ShellStreamEvent]:
        command = self._commands[index]
        command.stdout.append(stdout)
        command.stderr.append(stderr)
        delta = wire.ShellDelta(stdout=stdout or UNSET, stderr=stderr or UNSET)
        return (
            wire.ShellOutputDelta(sequence_number=self._next(), item_id=self._id, command_index=index, delta=delta),
        )

    def _command_ended(self, index: int, exit_code: int | None) -> Sequence[wire.ShellStreamEvent]:
        command = self._commands[index]
        command.outcome = wire.TimeoutOutcome() if exit_code is None else wire.ExitOutcome(exit_code=exit_code)
        return (
            wire.ShellOutputDone(
                sequence_number=self._next(), item_id=self._id, command_index=index, output=[command.result()]
            ),
        )

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence - 1
