"""One table from what went wrong to status, type and code, and the envelope that carries it.

Every error answer has the hosted service's shape, ``{"error": {"message", "type", "param", "code"}}`` with all four
keys. Nothing that was not raised on purpose is ever told to a caller: such errors are logged with their traceback
under the request id that the answer names.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import Scope

from atoll.api.scope import is_retry_unsafe, method_of, request_id_of
from atoll.model.errors import (
    AtollError,
    AuthenticationError,
    BusyError,
    NotFoundError,
    PayloadTooLargeError,
    RequestError,
    SandboxFailedError,
    StorageFullError,
)

logger = logging.getLogger(__name__)


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong; ``param`` names the field and ``code`` is a word for programs, where there is one."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorResponse(msgspec.Struct, frozen=True):
    """The envelope of every error."""

    error: ErrorBody


class ClientGoneError(Exception):
    """The client hung up before its answer was ready; there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; ``code`` stands where the error itself names none."""

    status: int
    type: str
    code: str | None = None


TABLE: Final[Mapping[type[AtollError], Row]] = {
    AuthenticationError: Row(401, "invalid_request_error", "invalid_api_key"),
    NotFoundError: Row(404, "invalid_request_error"),
    PayloadTooLargeError: Row(413, "invalid_request_error", "payload_too_large"),
    StorageFullError: Row(400, "invalid_request_error", "storage_full"),
    RequestError: Row(400, "invalid_request_error"),
    BusyError: Row(429, "requests", "rate_limit_exceeded"),
    SandboxFailedError: Row(500, "server_error", "sandbox_failed"),
}
_UNEXPECTED: Final = Row(500, "server_error", "server_error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error, ready to be told."""

    status: int
    error: ErrorBody
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """The envelope as JSON."""
        return msgspec.json.encode(ErrorResponse(self.error))


def failure_of(error: Exception, scope: Scope) -> Failure:
    """Say what an error is to the caller; one that nobody raised on purpose is logged and told as a 500."""
    if isinstance(error, AtollError):
        return _known(error, scope)
    if isinstance(error, HTTPException) and error.status_code < 500:
        return _routing(error, scope)
    request_id = request_id_of(scope)
    logger.error("unexpected error while answering %s", request_id, exc_info=error)
    return Failure(
        status=_UNEXPECTED.status,
        error=ErrorBody(
            message="The server had an error while processing your request. "
            f"Its log tells more under the request id {request_id}.",
            type=_UNEXPECTED.type,
            param=None,
            code=_UNEXPECTED.code,
        ),
        headers=_retry_headers(_UNEXPECTED.status, scope),
    )


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's exception handler for everything that is raised in a handler or in routing."""
    if isinstance(error, ClientGoneError):
        raise error
    failure = failure_of(error, request.scope)
    if failure.status == 405 and method_of(request.scope) == "OPTIONS":
        return Response(b"", status_code=204, headers=failure.headers)
    return Response(failure.body, status_code=failure.status, headers=failure.headers, media_type="application/json")


def _known(error: AtollError, scope: Scope) -> Failure:
    row = next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)
    if row.status >= 500:
        logger.error("%s while answering %s", error.message, request_id_of(scope), exc_info=error)
    headers = _retry_headers(row.status, scope)
    if isinstance(error, BusyError):
        headers["Retry-After"] = str(max(1, error.retry_after_s))
    if isinstance(error, AuthenticationError):
        headers["WWW-Authenticate"] = "Bearer"
    return Failure(
        status=row.status,
        error=ErrorBody(
            message=error.message,
            type=row.type,
            param=error.param if isinstance(error, RequestError) else None,
            code=(error.code if isinstance(error, (RequestError, BusyError)) else None) or row.code,
        ),
        headers=headers,
    )


def _routing(error: HTTPException, scope: Scope) -> Failure:
    """Word what the router found, in the hosted service's texts."""
    method, path = method_of(scope), scope["path"]
    message, code = {
        404: (f"Invalid URL ({method} {path})", None),
        405: (f"Not allowed to {method} on {path}.", "method_not_supported"),
    }.get(error.status_code, (f"The request could not be understood: {error.detail}.", None))
    return Failure(
        status=error.status_code,
        error=ErrorBody(message=message, type="invalid_request_error", param=None, code=code),
        headers=dict(error.headers or {}),
    )


def _retry_headers(status: int, scope: Scope) -> dict[str, str]:
    """Tell the SDKs, which send a request again after any 5xx, not to run people's code twice."""
    return {"x-should-retry": "false"} if status >= 500 and is_retry_unsafe(scope) else {}
