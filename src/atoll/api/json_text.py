"""JSON with large texts in it, which are kept once, as they will be sent, and are never copied together."""

import secrets
from collections.abc import Iterator
from typing import Final, cast

import msgspec

_SMALL_BYTES: Final = 64 * 1024
_PIECE_BYTES: Final = 256 * 1024


class JsonText:
    """A text in the making, as the JSON string that it will be."""

    def __init__(self) -> None:
        self._parts: list[bytes | bytearray] = [bytearray(b'"')]
        self.size_bytes = 1

    def append(self, text: str) -> None:
        """Add text."""
        escaped = msgspec.json.encode(text)[1:-1]
        last = self._parts[-1]
        if isinstance(last, bytearray):
            last += escaped
        else:
            self._parts.append(bytearray(escaped))
        self.size_bytes += len(escaped)

    def append_plain(self, text: bytes) -> None:
        """Add ASCII in which nothing has to be escaped; it is kept as it is, and not copied."""
        self._parts.append(text)
        self.size_bytes += len(text)

    def as_field(self) -> str:
        """Give what may stand in a struct for a string, for ``JsonPieces`` to write; nothing may be added afterwards.

        It is no ``str``: it only looks like one to whoever checks types.
        """
        if self.size_bytes < _SMALL_BYTES:
            return cast("str", msgspec.Raw(b"".join((*self._parts, b'"'))))
        return cast("str", self)

    def slices(self, size: int) -> Iterator[bytes]:
        """Give the JSON string in pieces."""
        for part in self._parts:
            for start in range(0, len(part), size):
                yield bytes(memoryview(part)[start : start + size])
        yield b'"'


class JsonPieces:
    """A struct's JSON, between ``before`` and ``after``: its length, and its bytes in pieces of some 256 KiB.

    What is not in a ``JsonText`` is encoded at once, so the texts must be where much is.
    """

    def __init__(self, value: msgspec.Struct, *, before: bytes = b"", after: bytes = b"") -> None:
        mark = ""
        self._texts: list[JsonText] = []

        def leave_out(text: object) -> str:
            nonlocal mark
            if not isinstance(text, JsonText):
                raise NotImplementedError(f"{type(text)} has no place in JSON")
            # Stands for a text until it is sent; nobody can write it into another one, not knowing it.
            mark = mark or secrets.token_hex(16)
            self._texts.append(text)
            return mark

        frame = b"".join((before, msgspec.json.encode(value, enc_hook=leave_out), after))
        self._frame = frame.split(b'"%b"' % mark.encode()) if self._texts else [frame]

    @property
    def length(self) -> int:
        """How many bytes there are."""
        return sum(map(len, self._frame)) + sum(text.size_bytes + 1 for text in self._texts)

    def __iter__(self) -> Iterator[bytes]:
        if not self._texts:
            yield self._frame[0]
            return
        held = bytearray()
        for piece in self._pieces():
            held += piece
            if len(held) >= _PIECE_BYTES:
                yield bytes(held)
                held.clear()
        if held:
            yield bytes(held)

    def _pieces(self) -> Iterator[bytes]:
        yield self._frame[0]
        for text, after in zip(self._texts, self._frame[1:], strict=True):
            yield from text.slices(_PIECE_BYTES)
            yield after
