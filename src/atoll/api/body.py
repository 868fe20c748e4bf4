"""Request bodies: read within a limit, decoded strictly, refused in words.

The content type of a JSON body is not looked at: ``curl -d`` sends another one and means JSON all the same.
"""

from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Final, TypeVar

import msgspec
from litestar.types import Receive, Scope

from atoll.api.errors import ClientGoneError
from atoll.api.explain import explain, find_nul
from atoll.model.errors import InvalidRequestError, PayloadTooLargeError

T = TypeVar("T", bound=msgspec.Struct)

JSON_BYTES_MAX: Final = 16 * 1024 * 1024
"""The largest JSON body; code and commands have their own, smaller limits."""

_FORM_BYTES_EXTRA: Final = 1024 * 1024
"""What a form may have around its file."""


async def read_json(scope: Scope, receive: Receive, kind: type[T]) -> T:
    """Read a body as ``kind``; an empty one counts as ``{}``. Raises ``InvalidRequestError`` that names the field."""
    return parse_json(await read_body(scope, receive), kind)


def parse_json(raw: bytes, kind: type[T]) -> T:
    """Decode JSON text. Raises ``InvalidRequestError``."""
    raw = raw or b"{}"
    try:
        body: T = _decoder(kind).decode(raw)
    except msgspec.ValidationError as error:
        raise _in_words(raw, kind, error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(error) from None
    if b"\\u0000" in raw and (found := find_nul(msgspec.json.decode(raw))):
        raise found
    return body


async def read_body(scope: Scope, receive: Receive, bytes_max: int = JSON_BYTES_MAX) -> bytes:
    """Read a whole body into memory. Raises ``PayloadTooLargeError``."""
    refuse_announced(scope, bytes_max)
    pieces: list[bytes] = []
    size = 0
    more = True
    while more:
        piece, more = await _next_piece(receive)
        size += len(piece)
        if size > bytes_max:
            raise too_large(bytes_max)
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def stream_body(receive: Receive) -> AsyncIterator[bytes]:
    """Give a body as it arrives. Raises ``ClientGoneError`` when it breaks off."""
    more = True
    while more:
        piece, more = await _next_piece(receive)
        if piece:
            yield piece


async def _next_piece(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] != "http.request":
        raise ClientGoneError
    return message.get("body", b""), message.get("more_body", False)


def refuse_announced(scope: Scope, bytes_max: int) -> None:
    """Refuse a body whose ``Content-Length`` is already too large, before a byte of it is read."""
    if _announces_more(scope, bytes_max):
        raise too_large(bytes_max)


def refuse_announced_form(scope: Scope, file_param: str, file_bytes_max: int) -> None:
    """Refuse a form whose ``Content-Length`` says that its file is too large, before a byte of it is read."""
    if _announces_more(scope, file_bytes_max + _FORM_BYTES_EXTRA):
        raise file_too_large(file_param, file_bytes_max)


def _announces_more(scope: Scope, bytes_max: int) -> bool:
    announced = header(scope, b"content-length")
    return announced is not None and announced.isdigit() and (len(announced) > 18 or int(announced) > bytes_max)


def file_too_large(param: str, bytes_max: int) -> PayloadTooLargeError:
    """Say how large a form's file may be."""
    return PayloadTooLargeError(f"The file is too large: at most {bytes_max} bytes can be uploaded.", param=param)


def too_large(bytes_max: int) -> PayloadTooLargeError:
    """Say how large a body may be."""
    return PayloadTooLargeError(f"The request is too large: at most {bytes_max} bytes can be sent.")


def header(scope: Scope, name: bytes) -> str | None:
    """Give a header's value; ``name`` in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            return value.decode("latin-1")
    return None


@lru_cache(maxsize=64)
def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(kind)


def _in_words(raw: bytes, kind: type[msgspec.Struct], error: msgspec.ValidationError) -> InvalidRequestError:
    try:
        found = explain(msgspec.json.decode(raw), kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as malformed:
        return _malformed(malformed)
    return found or InvalidRequestError(f"The request body cannot be used: {error}.")


def _malformed(error: Exception) -> InvalidRequestError:
    detail = "a string in it is not valid UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
    if isinstance(error, RecursionError):
        detail = "it is nested too deeply"
    return InvalidRequestError(
        f"We could not parse the JSON body of your request: {detail}. The API expects a JSON object.",
        code="invalid_json",
    )
