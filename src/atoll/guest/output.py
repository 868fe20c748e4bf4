"""Bounds a call's output: the first and the last half of the limit are kept, the middle gives way to one line.

Pure: bytes in, bytes out. Text goes on at once until the first half is used up; what comes later is kept in a ring,
so that a flood of any length costs no more memory than the limit.
"""

import codecs
from typing import Final, Literal

Unit = Literal["bytes", "characters"]

STDOUT: Final = 0
STDERR: Final = 1

_UTF8: Final = codecs.getincrementaldecoder("utf-8")


class BoundedOutput:
    """Output of one call (or one command), over one or two streams that share ``limit``.

    Bytes that are not UTF-8 become U+FFFD, so everything given out is whole UTF-8 characters. The limit counts
    people's output; the line about what is missing comes on top of it (under 100 bytes a stream). When two streams
    overflow, each keeps its own end: half of the second half is kept for either if it needs it.
    """

    def __init__(self, limit: int, unit: Unit = "bytes", *, streams: int = 1) -> None:
        self._unit: Unit = unit
        self._head_room = limit - limit // 2
        self._tail_room = limit // 2
        self._decoders = [_UTF8(errors="replace") for _ in range(streams)]
        self._tails = [_Tail(self._tail_room, unit) for _ in range(streams)]
        self._ends = ["\n"] * streams
        self._head_ends = ["\n"] * streams
        self._head_is_open = True

    @property
    def omitted_bytes(self) -> int:
        """How many bytes have been left out so far, over all streams."""
        return sum(tail.dropped_bytes for tail in self._tails)

    @property
    def is_streaming(self) -> bool:
        """Whether more output would still go on at once."""
        return self._head_is_open

    def write(self, data: bytes, stream: int = STDOUT) -> bytes:
        """Take bytes of a stream; give what is to be sent on now (possibly nothing)."""
        return self._take(self._decoders[stream].decode(data), stream)

    def write_line(self, line: str, stream: int = STDOUT) -> bytes:
        """Take a line of the agent's own, on a line of its own; give what is to be sent on now."""
        rest = self._decoders[stream].decode(b"", final=True)
        start = "" if (rest[-1:] or self._ends[stream]) == "\n" else "\n"
        return self._take(f"{rest}{start}{line}\n", stream)

    def finish(self) -> list[tuple[int, bytes]]:
        """Give what was kept back, as ``(stream, bytes)``; nothing may be written afterwards."""
        pieces = []
        for stream, decoder in enumerate(self._decoders):
            rest = self._take(decoder.decode(b"", final=True), stream)
            if rest:
                pieces.append((stream, rest))
        self._share_the_tail()
        for stream, tail in enumerate(self._tails):
            line = self._line_about_missing(stream, tail.dropped_bytes) if tail.dropped_bytes else b""
            if line or tail.kept:
                pieces.append((stream, line + bytes(tail.kept)))
        return pieces

    def _take(self, text: str, stream: int) -> bytes:
        if not text:
            return b""
        self._ends[stream] = text[-1]
        if not self._head_is_open:
            self._tails[stream].push(text)
            return b""
        head, rest = _split(text, self._head_room, self._unit)
        self._head_room -= _size(head, self._unit)
        self._head_ends[stream] = head[-1:] or self._head_ends[stream]
        if rest:
            self._head_is_open = False
            self._tails[stream].push(rest)
        return head.encode()

    def _share_the_tail(self) -> None:
        """Cut the streams' tails to the room they have together; a short one leaves its share to the other."""
        over = sum(tail.size for tail in self._tails) - self._tail_room
        share = self._tail_room // len(self._tails)
        for tail in sorted(self._tails, key=lambda tail: -tail.size):
            if over <= 0:
                break
            cut = min(over, max(0, tail.size - share))
            tail.drop(cut)
            over -= cut

    def _line_about_missing(self, stream: int, count: int) -> bytes:
        start = "" if self._head_ends[stream] == "\n" else "\n"
        return f"{start}[atoll] {count} bytes of output are left out here.\n".encode()


class _Tail:
    """The last ``room`` units of a stream, as UTF-8."""

    def __init__(self, room: int, unit: Unit) -> None:
        self.kept = bytearray()
        self.size = 0
        self.dropped_bytes = 0
        self._room = room
        self._unit: Unit = unit

    def push(self, text: str) -> None:
        self.kept += text.encode()
        self.size += _size(text, self._unit)
        if self.size > self._room:
            self.drop(self.size - self._room)

    def drop(self, units: int) -> None:
        """Drop at least ``units`` from the front, up to the next whole character."""
        if self._unit == "bytes":
            end = min(units, len(self.kept))
            while end < len(self.kept) and self.kept[end] & 0xC0 == 0x80:
                end += 1
            units = end
        else:
            end = len(bytes(self.kept[: units * 4]).decode(errors="ignore")[:units].encode())
        del self.kept[:end]
        self.size -= units
        self.dropped_bytes += end


def _size(text: str, unit: Unit) -> int:
    return len(text) if unit == "characters" else len(text.encode())


def _split(text: str, room: int, unit: Unit) -> tuple[str, str]:
    """Cut ``text`` so that the first part has at most ``room`` units."""
    if unit == "characters":
        return text[:room], text[room:]
    data = text.encode()
    if len(data) <= room:
        return text, ""
    head = data[:room].decode(errors="ignore")
    return head, text[len(head) :]
