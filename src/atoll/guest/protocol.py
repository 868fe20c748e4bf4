"""The wire between host and guest agent: typed, length-prefixed frames over a byte stream.

One connection carries one operation at a time. The host sends one ``REQUEST`` (JSON with an ``op``), for uploads
``DATA`` frames and an ``END``; the agent answers with output frames and then exactly one ``RESULT`` or ``FAILURE``, and
hangs up. After the ``RESULT`` to a ``python``, ``shell`` or ``process`` with ``"keep": true`` it waits for another
``REQUEST`` instead; an agent that is too old for this hangs up. Hanging up cancels. Back-pressure is the stream's own.

Operations, their fields and their results:

``hello``       -> RESULT ``{"protocol": 1}``
``python``      ``code, timeout_ms, output_bytes_max, images_max, html`` -> ``STDOUT`` (all text, in order) and
                ``IMAGE`` frames, with ``"html": true`` also of the type ``text/html``; RESULT ``{"outcome": OUTCOME,
                "omitted_bytes": n, "images_omitted": n, "pids_taken": n, "files": [FILE...],
                "disk_full": bool}``
``shell``       ``commands, timeout_ms, output_chars_max`` -> for each command ``STDOUT``/``STDERR`` frames and an
                ``EVENT {"event": "command_ended", "index": i, "exit_code": n | null, "pids_taken": n,
                "omitted_bytes": n}`` (null: out of time or interrupted); RESULT ``{"outcome": OUTCOME,
                "files": [FILE...], "disk_full": bool}``
``process``     ``argv, environment, cwd, user, input, timeout_ms, output_bytes_max``, with ``"input": true`` then
                ``DATA``... ``END``, while it runs -> ``EVENT {"event": "started"}``; ``STDOUT``/``STDERR`` frames, the
                bytes as they are, and before what comes after a gap ``EVENT {"event": "omitted", "stream": "stdout" |
                "stderr", "bytes": n}``; RESULT ``{"outcome": {"type": "exit", "exit_code": n} | {"type": "signal",
                "signal": n} | {"type": "timeout"} | {"type": "interrupted"}, "made_room": bool, "pids_taken": n}``.
                Runs beside calls and other processes. A program that cannot be started is a FAILURE with ``field``.
``terminal_open`` ``id, columns, rows, environment, terminals_max`` -> starts a shell on a terminal of its own, and
                goes on as the next does
``terminal_attach`` ``id, columns, rows`` -> ``EVENT {"event": "attached", "id": str}``, then ``DATA`` both ways: what
                was shown last, what is shown, and what is typed. From the host also ``REQUEST {"op": "resize",
                "columns": n, "rows": n}`` and ``{"op": "signal", "signal": "INT"}`` for the program in the foreground.
                RESULT ``{"reason": "exited", "exit_code": n | null, "signal": n | null}`` when the shell ended, else
                ``{"reason": R}`` with R one of ``taken_over`` (by a newer connection), ``closed``, ``restarted``,
                ``failed``. Hanging up only disconnects: the terminal goes on.
``terminal_list`` -> RESULT ``{"terminals": [{"id": str, "columns": n, "rows": n, "attached": bool}...]}``
``terminal_close`` ``id`` -> RESULT ``{"closed": bool}``
``interrupt``   -> RESULT ``{"interrupted": bool}``: stops the call that runs, if one does
``warm``        ``modules`` -> RESULT ``{}``: starts the Python and lets it import these, before any call. Nothing of it
                is seen later; a module that cannot be imported is left out, a Python that runs is left alone
``restart``     -> RESULT ``{}``: ends every process of people's code, terminals too; the next call has a fresh Python
``files_list``  -> ``EVENT {"event": "files", "files": [FILE...]}`` in batches; RESULT ``{"complete": bool}``
``file_put``    ``path``, ``exclusive`` (refuse to replace), then ``DATA``... ``END`` -> RESULT FILE. Nothing is
                seen at ``path`` before the last byte is on disk; a hang-up before ``END`` leaves what was there.
``file_get``    ``path, offset, length`` (null: to the end) -> ``EVENT {"event": "opened", "size": n}``, ``DATA``...,
                RESULT ``{}``
``archive_put`` ``path`` of a folder, ``entries_max``, then a tar as ``DATA``... ``END`` -> RESULT ``{"files": n,
                "folders": n, "links": n, "bytes": n}``. Nothing is seen at ``path`` before all of it was unpacked.
``archive_get`` ``path`` of a folder or file, ``entries_max`` -> a tar as ``DATA``..., RESULT ``{}``
``file_delete`` ``path`` -> RESULT ``{"deleted": bool}``

OUTCOME is ``{"type": T}`` with T one of ``ok``, ``error`` (Python raised), ``timeout``, ``interrupted``, or
``died`` with ``"signal": n | null`` and ``"exit_code": n | null`` (the Python process ended by itself).
``disk_full``, left out for false, is about the moment of the call's end.
``pids_taken`` counts process and thread numbers given away since the agent began; it may be too high, never too low.
FILE is ``{"path": str, "size": int, "mtime_ns": int}``; paths are absolute, under ``/mnt/data``, UTF-8, and name
regular files only.
FAILURE is ``{"code": CODE, "message": str, "field": str}`` with one of ``FAILURE_CODES``; the field of the request
that was wrong is there only where there is one to name.
"""

import json
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Final

PROTOCOL_VERSION: Final = 1
DATA_ROOT: Final = "/mnt/data"

# What a frame of a file costs both sides is much the same for any size: larger ones, fewer turns.
DATA_BYTES_MAX: Final = 512 * 1024
TEXT_BYTES_MAX: Final = 256 * 1024
JSON_BYTES_MAX: Final = 8 * 1024 * 1024
IMAGE_BYTES_MAX: Final = 16 * 1024 * 1024

FAILURE_CODES: Final = frozenset(
    {
        "bad_request",
        "busy",
        "exists",
        "not_found",
        "not_regular",
        "no_space",
        "permission",
        "too_large",
        "internal",
        "bad_archive",
        "too_many",
    }
)

_HEADER: Final = struct.Struct(">BI")
_to_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
HEADER_BYTES: Final = _HEADER.size


class FrameType(IntEnum):
    """What a frame's payload is."""

    REQUEST = 1
    DATA = 2
    END = 3
    STDOUT = 16
    STDERR = 17
    IMAGE = 18
    EVENT = 19
    RESULT = 20
    FAILURE = 21


_FRAME_TYPES: Final = {int(frame_type): frame_type for frame_type in FrameType}
PAYLOAD_BYTES_MAX: Final[dict[FrameType, int]] = {
    FrameType.REQUEST: JSON_BYTES_MAX,
    FrameType.DATA: DATA_BYTES_MAX,
    FrameType.END: 0,
    FrameType.STDOUT: TEXT_BYTES_MAX,
    FrameType.STDERR: TEXT_BYTES_MAX,
    FrameType.IMAGE: IMAGE_BYTES_MAX,
    FrameType.EVENT: JSON_BYTES_MAX,
    FrameType.RESULT: JSON_BYTES_MAX,
    FrameType.FAILURE: JSON_BYTES_MAX,
}


class ProtocolError(Exception):
    """The other side does not speak this protocol; the connection is of no further use."""


def encode(frame_type: FrameType, payload: bytes | memoryview = b"") -> bytes:
    """Give a frame's bytes. Raises ``ProtocolError`` when the payload is over the type's limit."""
    return b"".join((encode_header(frame_type, len(payload)), payload))


def encode_header(frame_type: FrameType, length: int) -> bytes:
    """Give what stands before a payload of ``length`` bytes. Raises ``ProtocolError`` when that is over the limit."""
    if length > PAYLOAD_BYTES_MAX[frame_type]:
        raise ProtocolError(f"a {frame_type.name} frame holds at most {PAYLOAD_BYTES_MAX[frame_type]} bytes")
    return _HEADER.pack(frame_type, length)


def encode_json(frame_type: FrameType, value: dict[str, Any]) -> bytes:
    """Give the bytes of a frame with a JSON object in it."""
    return encode(frame_type, _to_json(value).encode())


def decode_json(payload: bytes) -> dict[str, Any]:
    """Read a frame's JSON object. Raises ``ProtocolError`` for anything else."""
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("the payload is not JSON") from error
    if not isinstance(value, dict):
        raise ProtocolError("the payload is not a JSON object")
    return value


def encode_image(media_type: str, data: bytes) -> bytes:
    """Give the bytes of an ``IMAGE`` frame: the media type, a zero byte, the image."""
    return encode(FrameType.IMAGE, media_type.encode("ascii") + b"\0" + data)


def decode_image(payload: bytes) -> tuple[str, memoryview]:
    """Split an ``IMAGE`` payload, without copying it. Raises ``ProtocolError``."""
    end = payload.find(b"\0")
    media_type = payload[: max(end, 0)]
    if end < 0 or not media_type.isascii():
        raise ProtocolError("an IMAGE frame starts with a media type and a zero byte")
    return media_type.decode("ascii"), memoryview(payload)[end + 1 :]


class FrameDecoder:
    """Cuts a byte stream into frames; pure, never holds more than one frame's limit and one read.

    ``DATA`` is given piece by piece as it comes, each piece as a frame of its own: where a file's bytes were cut into
    frames means nothing, and waiting for the rest of one would only mean copying it.
    """

    def __init__(self) -> None:
        self._held: bytes | bytearray = b""
        self._position = 0
        self._data_left = 0

    def feed(self, data: bytes) -> Iterator[tuple[FrameType, bytes]]:
        """Take bytes, give the frames they complete. Raises ``ProtocolError`` at the first bad header."""
        self._hold(data)
        while (frame := self._next()) is not None:
            yield frame

    @property
    def at_boundary(self) -> bool:
        """Whether the stream may end here without cutting a frame in two."""
        return not self.buffered_bytes and not self._data_left

    @property
    def buffered_bytes(self) -> int:
        """How many bytes of an unfinished frame are held."""
        return len(self._held) - self._position

    def read_bytes(self, otherwise: int) -> int:
        """How many bytes to read next: within ``DATA`` as many as are missing of it, and the header that follows.

        Whoever reads more cuts every frame in two; whoever reads less takes more turns than there are frames.
        """
        return self._data_left + _HEADER.size if self._data_left else otherwise

    def _hold(self, data: bytes) -> None:
        if not self.buffered_bytes:
            self._held = data
        elif isinstance(self._held, bytearray):
            del self._held[: self._position]
            self._held += data
        else:
            self._held = bytearray().join((memoryview(self._held)[self._position :], data))
        self._position = 0

    def _next(self) -> tuple[FrameType, bytes] | None:
        if self._data_left:
            return self._next_data()
        start = self._position + _HEADER.size
        if len(self._held) < start:
            return None
        frame_type, length = self._read_header()
        if frame_type is FrameType.DATA and length:
            self._position = start
            self._data_left = length
            return self._next_data()
        if len(self._held) < start + length:
            return None
        self._position = start
        return frame_type, self._take(length)

    def _next_data(self) -> tuple[FrameType, bytes] | None:
        size = min(self._data_left, self.buffered_bytes)
        if not size:
            return None
        self._data_left -= size
        return FrameType.DATA, self._take(size)

    def _read_header(self) -> tuple[FrameType, int]:
        number, length = _HEADER.unpack_from(self._held, self._position)
        frame_type = _FRAME_TYPES.get(number)
        if frame_type is None:
            raise ProtocolError(f"unknown frame type {number}")
        if length > PAYLOAD_BYTES_MAX[frame_type]:
            raise ProtocolError(f"a {frame_type.name} frame of {length} bytes is over its limit")
        return frame_type, length

    def _take(self, size: int) -> bytes:
        start, self._position = self._position, self._position + size
        if isinstance(self._held, bytes):
            return self._held[start : self._position]  # no copy when it is all of it
        taken = bytes(memoryview(self._held)[start : self._position])
        if not self.buffered_bytes:
            self._held, self._position = b"", 0  # a large frame's room is not kept until the next one comes
        return taken
