"""The answer about one program, built from its events: the whole of it, and the stream events on the way to it."""

import codecs
import signal
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from msgspec import UNSET

from atoll.api import wire
from atoll.api.json_text import JsonText
from atoll.model.processes import (
    Exited,
    Lost,
    ProcessEnded,
    ProcessEvent,
    ProcessGap,
    ProcessOutput,
    ProcessStarted,
    Signalled,
    TimedOut,
)

_UTF8: Final = codecs.getincrementaldecoder("utf-8")
_BASE64_BYTES: Final = 3  # so many bytes become whole characters of Base64


class _Stream(Protocol):
    """One of the two streams, as a JSON string in the making."""

    text: JsonText

    def add(self, data: bytes) -> str:
        """Take bytes; give what a stream event says of them."""
        ...

    def gap(self, omitted_bytes: int) -> str:
        """Note that bytes are missing; give what a stream event says of it."""
        ...

    def finish(self) -> str:
        """Give what was kept back."""
        ...


class _Utf8Stream:
    """As text: what is not UTF-8 becomes U+FFFD, and a gap is a line."""

    def __init__(self) -> None:
        self.text = JsonText()
        self._decoder = _UTF8(errors="replace")
        self._end = "\n"

    def add(self, data: bytes) -> str:
        return self._append(self._decoder.decode(data))

    def gap(self, omitted_bytes: int) -> str:
        rest = self._decoder.decode(b"", final=True)
        line_start = "" if (rest[-1:] or self._end) == "\n" else "\n"
        return self._append(f"{rest}{line_start}[atoll] {omitted_bytes} bytes of output are left out here.\n")

    def finish(self) -> str:
        return self._append(self._decoder.decode(b"", final=True))

    def _append(self, text: str) -> str:
        if text:
            self._end = text[-1]
            self.text.append(text)
        return text


class _Base64Stream:
    """As Base64 of exactly the bytes; each stream event is complete in itself, and so is the whole."""

    def __init__(self) -> None:
        self.text = JsonText()
        self._rest = b""

    def add(self, data: bytes) -> str:
        whole = self._rest + data
        end = len(whole) - len(whole) % _BASE64_BYTES
        self._rest = whole[end:]
        self.text.append_plain(b64encode(whole[:end]))
        return b64encode(data).decode("ascii")

    def gap(self, omitted_bytes: int) -> str:  # noqa: ARG002 - the other form says it; here it would be taken for output
        return ""

    def finish(self) -> str:
        self.text.append_plain(b64encode(self._rest))
        self._rest = b""
        return ""


class ProcessItem:
    """A ``container.process`` in the making."""

    def __init__(self, container_id: str, encoding: wire.Encoding) -> None:
        self._container_id = container_id
        self._encoding: wire.Encoding = encoding
        self._id = ""
        make = _Base64Stream if encoding == "base64" else _Utf8Stream
        self._streams: tuple[_Stream, _Stream] = (make(), make())
        self._bytes = [0, 0]
        self._gaps: list[wire.OmittedOutput | None] = [None, None]
        self._ended: ProcessEnded | None = None
        self._sequence = 0

    @property
    def held_bytes(self) -> int:
        """How much of the program's output it holds."""
        return sum(stream.text.size_bytes for stream in self._streams)

    def take(self, event: ProcessEvent) -> Sequence[wire.ProcessStreamEvent]:
        """Add an event to the item and give what a stream says about it."""
        match event:
            case ProcessStarted(process_id):
                self._id = process_id
                return (wire.ProcessStarted(sequence_number=self._next(), item=self.item()),)
            case ProcessOutput(stdout, stderr):
                return tuple(self._deltas(self._add(0, stdout), self._add(1, stderr)))
            case ProcessGap(is_stderr, omitted_bytes):
                return tuple(self._gap(int(is_stderr), omitted_bytes))
            case ProcessEnded():
                rest = tuple(self._deltas(*(stream.finish() for stream in self._streams)))
                self._ended = event
                return (*rest, wire.ProcessDone(sequence_number=self._next(), item=self.item()))

    def item(self) -> wire.ContainerProcess:
        """Give the item as it stands; its output only once the program has ended."""
        ended = self._ended
        stdout, stderr = (stream.text.as_field() if ended is not None else "" for stream in self._streams)
        return wire.ContainerProcess(
            id=self._id,
            container_id=self._container_id,
            status="in_progress" if ended is None else ended.status,
            encoding=self._encoding,
            stdout=stdout,
            stderr=stderr,
            stdout_omitted=self._gaps[0],
            stderr_omitted=self._gaps[1],
            outcome=None if ended is None else _outcome(ended),
            notes=[] if ended is None else list(ended.notes),
        )

    def _add(self, stream: int, data: bytes) -> str:
        self._bytes[stream] += len(data)
        return self._streams[stream].add(data) if data else ""

    def _gap(self, stream: int, omitted_bytes: int) -> Iterator[wire.ProcessStreamEvent]:
        self._gaps[stream] = wire.OmittedOutput(offset=self._bytes[stream], bytes=omitted_bytes)
        told = self._streams[stream].gap(omitted_bytes)
        return self._deltas(told if stream == 0 else "", told if stream == 1 else "")

    def _deltas(self, stdout: str, stderr: str) -> Iterator[wire.ProcessStreamEvent]:
        if stdout or stderr:
            delta = wire.ProcessDelta(stdout=stdout or UNSET, stderr=stderr or UNSET)
            yield wire.ProcessOutputDelta(sequence_number=self._next(), item_id=self._id, delta=delta)

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence - 1


def _outcome(ended: ProcessEnded) -> wire.ProcessOutcome:
    match ended.outcome:
        case Exited(exit_code):
            return wire.ExitOutcome(exit_code=exit_code)
        case Signalled(number):
            return wire.SignalOutcome(signal=number, name=_signal_name(number))
        case TimedOut():
            return wire.TimeoutOutcome()
        case Lost():
            return wire.LostOutcome(cause=ended.cause)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
