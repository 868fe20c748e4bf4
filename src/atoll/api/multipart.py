"""Multipart forms with one file in them, read as they arrive.

The file's bytes are handed on while the rest of the form is still under way, so no file is ever collected here. What
stands after the file is read before its last byte counts: the iterator of its bytes ends only when the whole form
was well-formed, and raises otherwise, so that whoever writes the file can still undo it.

Accepted beyond the standard, because clients send it: no file name, RFC 5987 ``filename*``, values without quotes,
a form of zero parts, text before the first and after the last boundary.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from multipart import (  # type: ignore[import-untyped]  # it has annotations but no py.typed
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    parse_options_header,
)

from atoll.api.body import file_too_large
from atoll.api.explain import unknown
from atoll.model.errors import InvalidRequestError

DEFAULT_FILENAME: Final = "upload"
HEADER_BYTES_MAX: Final = 8 * 1024
HEADERS_MAX: Final = 16
PARTS_MAX: Final = 32
TEXT_BYTES_MAX: Final = 64 * 1024
PREAMBLE_BYTES_MAX: Final = 64 * 1024

_EXTENDED_FILENAME: Final = re.compile(r";\s*filename\*\s*=\s*\"?([\w!#$&+.^`|~%{}-]+)'[^']*'([^\s;\"]+)\"?", re.ASCII)


@dataclass(slots=True)
class FileForm:
    """The parts of a form: those before the file now, those after it once ``chunks`` came to its end.

    ``filename`` and ``chunks`` are ``None`` when the form has no file.
    """

    events: "_Events"
    texts: dict[str, str] = field(default_factory=dict)
    filename: str | None = None
    chunks: AsyncGenerator[bytes, None] | None = None

    async def aclose(self) -> None:
        """Stop reading, wherever that is."""
        if self.chunks is not None:
            await self.chunks.aclose()
        await self.events.aclose()


def boundary_of(content_type: str | None) -> str | None:
    """Give the boundary when this is a multipart form. Raises ``InvalidRequestError`` when it names none."""
    media_type, options = parse_options_header(content_type or "")
    if media_type != "multipart/form-data":
        return None
    boundary = str(options.get("boundary", ""))
    if not boundary or len(boundary) > 200:
        raise InvalidRequestError("The Content-Type of a multipart form needs a 'boundary' of 1 to 200 characters.")
    return boundary


async def read_form(
    body: AsyncIterator[bytes],
    boundary: str,
    *,
    file_param: str,
    text_params: tuple[str, ...],
    file_bytes_max: int,
    exclusive: Mapping[str, str] | None = None,
) -> FileForm:
    """Read up to the first byte of the file, or to the end of a form without one.

    ``exclusive`` names text parts that cannot stand beside the file, with the reason. Raises
    ``InvalidRequestError``, ``PayloadTooLargeError`` and whatever ``body`` raises; so does ``chunks``.
    """
    fields = _Fields(file_param, text_params, file_bytes_max, exclusive or {})
    return await _Reader(_events(body, boundary), fields).begin()


@dataclass(frozen=True, slots=True)
class _Fields:
    """What a form may hold."""

    file: str
    texts: tuple[str, ...]
    file_bytes_max: int
    exclusive: Mapping[str, str]


_Events = AsyncGenerator[MultipartSegment | bytes | bytearray | None, None]


class _Reader:
    """Goes through one form, once."""

    def __init__(self, events: _Events, fields: _Fields) -> None:
        self._events = events
        self._fields = fields
        self._form = FileForm(events)

    async def begin(self) -> FileForm:
        async for event in self._events:
            if not isinstance(event, MultipartSegment):
                continue
            if event.name == self._fields.file:
                self._form.filename = filename_of(event)
                self._refuse_exclusive()
                self._form.chunks = self._file()
                return self._form
            await self._text(event)
        return self._form

    async def _file(self) -> AsyncGenerator[bytes, None]:
        """Give the file's bytes; then see the rest of the form through before ending."""
        size = 0
        async for event in self._events:
            if event is None:
                break
            assert isinstance(event, bytes | bytearray)  # noqa: S101 - the parser gives nothing else inside a part
            size += len(event)
            if size > self._fields.file_bytes_max:
                raise file_too_large(self._fields.file, self._fields.file_bytes_max)
            yield bytes(event)
        async for event in self._events:
            if isinstance(event, MultipartSegment):
                if event.name == self._fields.file:
                    raise InvalidRequestError(
                        f"Duplicate parameter: '{self._fields.file}'. Send one file in each request.",
                        param=self._fields.file,
                        code="duplicate_parameter",
                    )
                await self._text(event)
                self._refuse_exclusive()

    async def _text(self, segment: MultipartSegment) -> None:
        name = segment.name or ""
        if name not in self._fields.texts:
            raise unknown(name)
        if name in self._form.texts:
            raise InvalidRequestError(
                f"Duplicate parameter: '{name}'. It can be given once only.", param=name, code="duplicate_parameter"
            )
        self._form.texts[name] = decode_text(await self._collect(name), name)

    async def _collect(self, name: str) -> bytes:
        pieces = bytearray()
        async for event in self._events:
            if event is None:
                break
            assert isinstance(event, bytes | bytearray)  # noqa: S101 - the parser gives nothing else inside a part
            pieces += event
            if len(pieces) > TEXT_BYTES_MAX:
                raise InvalidRequestError(
                    f"Invalid '{name}': at most {TEXT_BYTES_MAX} bytes can be sent there.",
                    param=name,
                    code="string_above_max_length",
                )
        return bytes(pieces)

    def _refuse_exclusive(self) -> None:
        for name, reason in self._fields.exclusive.items():
            if name in self._form.texts:
                raise InvalidRequestError(reason, param=name, code="mutually_exclusive_parameters")


def filename_of(segment: MultipartSegment) -> str:
    """Give a part's file name as it was sent, directories included; ``upload`` when there is none.

    The extended form wins over the plain one (RFC 6266, section 4.3). Raises ``InvalidRequestError``.
    """
    extended = _EXTENDED_FILENAME.search(segment.header("Content-Disposition", ""))
    if extended:
        return _decode_extended(extended[1], extended[2])
    return segment.filename or DEFAULT_FILENAME


def decode_text(raw: bytes, name: str) -> str:
    """Decode a text part. Raises ``InvalidRequestError``."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequestError(f"Invalid '{name}': expected UTF-8 text.", param=name, code="invalid_value") from None
    if "\0" in text:
        raise InvalidRequestError(
            f"Invalid '{name}': it holds the NUL character (U+0000).", param=name, code="invalid_value"
        )
    return text


def _decode_extended(charset: str, encoded: str) -> str:
    if charset.lower() not in ("utf-8", "iso-8859-1"):
        raise _unreadable("'filename*' must be UTF-8")
    try:
        return unquote_to_bytes(encoded).decode(charset) or DEFAULT_FILENAME
    except UnicodeDecodeError:
        raise _unreadable(f"'filename*' is not {charset}") from None


async def _events(body: AsyncIterator[bytes], boundary: str) -> _Events:
    """Give the parser's events: a part's head, its bytes, ``None`` at its end."""
    parser = _parser(boundary)
    started = False
    skipped = 0
    try:
        async for piece in body:
            for event in parser.parse(piece):
                started = True
                yield event
            if not started:
                skipped += len(piece)
                if skipped > PREAMBLE_BYTES_MAX and not parser.closed:
                    raise _unreadable("its first boundary was not found")
        parser.close()
    except MultipartError as error:
        raise _unreadable(f"{error}") from None


def _parser(boundary: str) -> PushMultipartParser:
    try:
        return PushMultipartParser(
            boundary.encode("latin-1"),
            max_header_size=HEADER_BYTES_MAX,
            max_header_count=HEADERS_MAX,
            max_segment_count=PARTS_MAX,
        )
    except MultipartError as error:
        raise _unreadable(f"{error}") from None


def _unreadable(why: str) -> InvalidRequestError:
    return InvalidRequestError(f"The multipart form cannot be read: {why}.", code="invalid_multipart")
