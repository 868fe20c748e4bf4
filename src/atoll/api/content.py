"""Downloads: a file's bytes, or one range of them, as they come.

There is no validator (no ETag, no Last-Modified), so a request with ``If-Range`` always gets the whole file, as RFC
9110, section 13.1.5, wants when validators do not match; so does one for several ranges at once, or for none that
can be understood (section 14.2).
"""

import asyncio
import mimetypes
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final
from urllib.parse import quote

from litestar.types import HTTPResponseStartEvent, Receive, Scope, Send

from atoll.api.body import header
from atoll.api.errors import ClientGoneError, ErrorBody, Failure
from atoll.api.scope import is_head
from atoll.api.watch import while_connected
from atoll.model.files import ByteRange, FileContent

_SINGLE_RANGE: Final = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})", re.IGNORECASE | re.ASCII)
_UNSAFE_IN_QUOTES: Final = re.compile(r"[^ !#$&-\[\]-~]", re.ASCII)
_TYPES: Final = mimetypes.MimeTypes()
_TEXT_TYPES: Final = frozenset({"application/json", "application/javascript", "application/xml"})


def byte_range(scope: Scope) -> ByteRange | None:
    """Give the one range that is wanted, or ``None`` for the whole file."""
    text = header(scope, b"range")
    if text is None or header(scope, b"if-range") is not None:
        return None
    match = _SINGLE_RANGE.fullmatch(text.strip())
    if match is None or not (match[1] or match[2]):
        return None
    first = int(match[1]) if match[1] else None
    last = int(match[2]) if match[2] else None
    if first is not None and last is not None and last < first:
        return None
    return ByteRange(first, last)


class Download:
    """The answer to a request for a file's content; ``open_content`` starts the reading of the range it is given."""

    def __init__(self, open_content: Callable[[ByteRange | None], Awaitable[FileContent]]) -> None:
        self._open = open_content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the bytes. Raises what ``open_content`` raised."""
        wanted = byte_range(scope)
        content = await self._open(wanted)
        try:
            if wanted is not None and content.length == 0:
                await _send_unsatisfiable(content, send)
            elif is_head(scope):
                await send(_start(content, partial=wanted is not None))
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            else:
                with suppress(ClientGoneError):
                    await while_connected(receive, _send_content(content, send, partial=wanted is not None))
        finally:
            await content.chunks.aclose()


async def _send_content(content: FileContent, send: Send, *, partial: bool) -> None:
    """Send the head with the first bytes: what fails before them can still be told as an error."""
    started = False
    async for chunk in content.chunks:
        if not started:
            await send(_start(content, partial=partial))
            started = True
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        # Where neither reading nor sending has to wait, nothing else would let others have their turn.
        await asyncio.sleep(0)
    if not started:
        await send(_start(content, partial=partial))
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _start(content: FileContent, *, partial: bool) -> HTTPResponseStartEvent:
    headers = [
        ("content-type", content_type(content.filename)),
        ("content-length", str(content.length)),
        ("content-disposition", content_disposition(content.filename)),
        ("accept-ranges", "bytes"),
    ]
    if partial:
        last = content.offset + content.length - 1
        headers.append(("content-range", f"bytes {content.offset}-{last}/{content.total}"))
    status = 206 if partial else 200
    return {"type": "http.response.start", "status": status, "headers": _encoded(headers)}


async def _send_unsatisfiable(content: FileContent, send: Send) -> None:
    failure = Failure(
        status=416,
        error=ErrorBody(
            message=f"The range lies outside of the file, which has {content.total} bytes.",
            type="invalid_request_error",
            param=None,
            code="range_not_satisfiable",
        ),
    )
    body = failure.body
    headers = [
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        ("content-range", f"bytes */{content.total}"),
        ("accept-ranges", "bytes"),
    ]
    await send({"type": "http.response.start", "status": failure.status, "headers": _encoded(headers)})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def content_type(filename: str) -> str:
    """Guess a type from the name, as the hosted service does; text is UTF-8."""
    guessed, encoding = _TYPES.guess_type(f"/{filename.rsplit('/', 1)[-1]}", strict=True)
    if guessed is None or encoding is not None:
        return "application/octet-stream"
    if guessed.startswith("text/") or guessed in _TEXT_TYPES:
        return f"{guessed}; charset=utf-8"
    return guessed


def content_disposition(filename: str) -> str:
    """Name the download, in plain ASCII and, for those who can read it, in full."""
    plain = _UNSAFE_IN_QUOTES.sub("_", filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


def _encoded(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers]
