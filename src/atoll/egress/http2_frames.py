"""Cuts what comes of an HTTP/2 connection into whole frames (RFC 9113 section 4.1), before h2 reads them; pure.

Three things are done here that h2 leaves to others. A GOAWAY is told and not passed on: to h2 it is the end of all,
while answers to what was asked before it are still to come. Frames that move nothing are counted. And what is passed on
at once is little, so that one connection does not keep all the others waiting.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

FRAME_BYTES_MAX: Final = 16_384  # what every implementation has to take, and what we say that we take
FRAMES_AT_ONCE: Final = 64
HEAD_BYTES_MAX: Final = 32 * 1024  # of all of a head's names and values, and 32 bytes for each; no block is longer

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER_BYTES: Final = 9
_DATA: Final = 0
_CONTINUATION: Final = 9
_HEADS: Final = frozenset({1, 5, _CONTINUATION})  # HEADERS, PUSH_PROMISE
_GOAWAY: Final = 7
_GOAWAY_BYTES_MIN: Final = 8
_END_STREAM: Final = 1


class FrameError(Exception):
    """What came is not a row of frames."""


@dataclass(frozen=True, slots=True)
class Frames:
    """Some whole frames. ``idle_count`` of them move nothing by themselves."""

    data: bytes
    idle_count: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """The other side takes no more streams; what was begun above ``last_stream_id`` it has not looked at."""

    last_stream_id: int
    error_code: int


class FrameCutter:
    """For one direction of a connection; ``has_preface`` where it is a client that speaks."""

    def __init__(self, *, has_preface: bool) -> None:
        self._preface = _PREFACE if has_preface else b""
        self._rest = b""
        self._head_bytes = 0

    def cut(self, data: bytes) -> Iterator[Frames | GoAway]:
        """Give what is whole by now. Raises ``FrameError``; after that there is nothing more to be had."""
        data = self._rest + data
        self._rest = b""
        at = len(self._preface)
        if data[:at] != self._preface[: len(data)]:
            raise FrameError("not HTTP/2")
        if len(data) < at:
            self._rest = data
            return
        self._preface = b""
        begin = count = idle_count = 0
        while len(data) - at >= _HEADER_BYTES:
            size = int.from_bytes(data[at : at + 3], "big")
            if size > FRAME_BYTES_MAX:
                raise FrameError("a frame is too long")
            end = at + _HEADER_BYTES + size
            if end > len(data):
                break
            kind = data[at + 3]
            if kind == _GOAWAY:
                if at > begin:
                    yield Frames(data[begin:at], idle_count)
                yield _read_goaway(data[at + _HEADER_BYTES : end])
                begin, count, idle_count = end, 0, 0
            else:
                count += 1
                idle_count += kind != _DATA or (size == 0 and not data[at + 4] & _END_STREAM)
                if kind in _HEADS:
                    self._count_head(kind, size)
                if count == FRAMES_AT_ONCE or kind in _HEADS:
                    yield Frames(data[begin:end], idle_count)
                    begin, count, idle_count = end, 0, 0
            at = end
        if at > begin:
            yield Frames(data[begin:at], idle_count)
        self._rest = data[at:]

    def _count_head(self, kind: int, size: int) -> None:
        self._head_bytes = size + (self._head_bytes if kind == _CONTINUATION else 0)
        if self._head_bytes > HEAD_BYTES_MAX:
            raise FrameError("a head is too long")


def _read_goaway(body: bytes) -> GoAway:
    if len(body) < _GOAWAY_BYTES_MIN:
        raise FrameError("a GOAWAY is too short")
    return GoAway(int.from_bytes(body[:4], "big") & 0x7FFFFFFF, int.from_bytes(body[4:8], "big"))
