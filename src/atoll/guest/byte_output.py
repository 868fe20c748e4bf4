"""Bounds a program's output to the byte: the first and the last half of the limit are kept, the middle is counted.

Pure: bytes in, bytes out, as they are. What is within the first half goes on at once; what comes later is kept in a
ring, so that a flood of any length costs no more memory than the limit.
"""

from dataclasses import dataclass
from typing import Final

STREAMS: Final = 2


@dataclass(frozen=True, slots=True)
class Rest:
    """The end of a stream: ``omitted_bytes`` are missing before ``data``."""

    stream: int
    omitted_bytes: int
    data: bytes


class ByteOutput:
    """Two streams that share ``limit`` bytes.

    When both overflow each keeps its own end: half of the second half is kept for either if it needs it.
    """

    def __init__(self, limit: int) -> None:
        self._head_room = limit - limit // 2
        self._tail_room = limit // 2
        self._tails = [bytearray() for _ in range(STREAMS)]
        self._dropped = [0] * STREAMS
        self._head_is_open = True

    def write(self, data: bytes, stream: int) -> bytes:
        """Take bytes of a stream; give what is to be sent on now (possibly nothing)."""
        head = b""
        if self._head_is_open:
            head = data[: self._head_room]
            self._head_room -= len(head)
            self._head_is_open = len(head) == len(data)
        if len(head) < len(data):
            tail = self._tails[stream]
            tail += memoryview(data)[len(head) :]
            self._drop(stream, len(tail) - self._tail_room)
        return head

    def finish(self) -> list[Rest]:
        """Give what was kept back; nothing may be written afterwards."""
        over = sum(map(len, self._tails)) - self._tail_room
        share = self._tail_room // STREAMS
        for stream in sorted(range(STREAMS), key=lambda stream: -len(self._tails[stream])):
            cut = min(over, max(0, len(self._tails[stream]) - share))
            self._drop(stream, cut)
            over -= max(0, cut)
        return [
            Rest(stream, self._dropped[stream], bytes(tail))
            for stream, tail in enumerate(self._tails)
            if tail or self._dropped[stream]
        ]

    def _drop(self, stream: int, count: int) -> None:
        if count > 0:
            del self._tails[stream][:count]
            self._dropped[stream] += count
