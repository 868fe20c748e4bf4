"""A Python call's answer: frames in, checked events out."""

import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from atoll.agent.errors import AgentMisbehavedError
from atoll.agent.fields import INT64_MAX, read_fields, read_flag, read_integer, read_optional_integer
from atoll.agent.files import AgentFile, read_files
from atoll.agent.outcome import Outcome, OutcomeType, read_outcome
from atoll.agent.quota import Quota
from atoll.agent.text import TextDecoder
from atoll.guest.protocol import FrameType, ProtocolError, decode_image
from atoll.model.calls import Html, Image, Logs

_OUTCOMES: Final = frozenset(OutcomeType)
_MEDIA_TYPE: Final = re.compile(r"image/[a-z0-9][a-z0-9.+-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPythonEnded:
    """The last event of a Python call.

    ``pids_taken`` is the agent's count at the call's end, 0 from one too old to count.
    ``omitted_bytes`` of text and ``images_omitted`` images were produced but are not among the events. ``files`` were
    made or changed by the call; ``disk_full`` is about its end.
    """

    outcome: Outcome
    omitted_bytes: int
    images_omitted: int
    pids_taken: int
    files: tuple[AgentFile, ...]
    disk_full: bool = False


AgentPythonEvent = Logs | Image | Html | AgentPythonEnded


class PythonReader:
    """Takes the frames of one call in order; pure.

    HTML comes only where it was asked for, and counts as images do. Images over ``images_bytes_max`` together are left
    out and counted: the agent bounds their number, and an honest one may well make that many large ones.
    """

    def __init__(self, *, output_bytes_max: int, images_max: int, images_bytes_max: int, html: bool = False) -> None:
        self._html = html
        self._output = Quota("output", output_bytes_max)
        self._images_left = images_max
        self._images_bytes_left = images_bytes_max
        self._images_omitted = 0
        self._text = TextDecoder()

    def take(self, frame_type: FrameType, payload: bytes) -> Iterator[AgentPythonEvent]:
        """Give the events that a frame holds. Raises ``AgentMisbehavedError``."""
        match frame_type:
            case FrameType.STDOUT:
                self._output.take(len(payload))
                yield from self._logs(self._text.feed(payload))
            case FrameType.IMAGE:
                yield from self._image(payload)
            case FrameType.RESULT:
                yield from self._logs(self._text.finish())
                yield self._ended(payload)
            case _:
                raise AgentMisbehavedError(f"a {frame_type.name} frame has no place in a Python call")

    def _logs(self, text: str) -> Iterator[Logs]:
        if text:
            yield Logs(text)

    def _image(self, payload: bytes) -> Iterator[Image | Html]:
        try:
            media_type, data = decode_image(payload)
        except ProtocolError as error:
            raise AgentMisbehavedError(str(error)) from error
        is_html = self._html and media_type == "text/html"
        if not data or not (is_html or _MEDIA_TYPE.fullmatch(media_type)):
            raise AgentMisbehavedError("an image is empty or of an impossible type")
        if self._images_left == 0:
            raise AgentMisbehavedError("more images than were asked for")
        self._images_left -= 1
        if len(data) > self._images_bytes_left:
            self._images_omitted += 1
            return
        self._images_bytes_left -= len(data)
        if is_html:
            yield Html(str(data, "utf-8", "replace"))
        else:
            yield Image(media_type, b64encode(data))

    def _ended(self, payload: bytes) -> AgentPythonEnded:
        fields = read_fields(payload)
        return AgentPythonEnded(
            outcome=read_outcome(fields, _OUTCOMES),
            omitted_bytes=read_integer(fields, "omitted_bytes", 0, INT64_MAX),
            images_omitted=self._images_omitted + read_integer(fields, "images_omitted", 0, INT64_MAX),
            pids_taken=read_optional_integer(fields, "pids_taken", 0, INT64_MAX) or 0,
            files=read_files(fields),
            disk_full=read_flag(fields, "disk_full"),
        )
