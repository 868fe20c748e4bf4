"""The outermost layer: what holds for every answer, whoever made it.

Each gets ``x-request-id``, ``openai-processing-ms`` and ``x-content-type-options``, is counted, and is answered even
when everything inside failed. ``/openai/v1`` (where Azure's clients look) is the same as ``/v1``; ``HEAD`` is ``GET``
without the body.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar, cast

from litestar.enums import ScopeType
from litestar.types import (
    ASGIApp,
    HTTPReceiveMessage,
    HTTPScope,
    Message,
    Method,
    Receive,
    Scope,
    Send,
    WebSocketReceiveMessage,
    WebSocketScope,
)

from atoll.about import About, begin
from atoll.api.errors import ClientGoneError, ErrorBody, Failure, failure_of
from atoll.api.metrics import Metrics
from atoll.api.scope import hang_up, is_head, mark, method_of
from atoll.api.upgrade import UpgradeAnswer
from atoll.model.errors import StartRefusedError
from atoll.spans import NO_SPAN, Tracing

S = TypeVar("S", HTTPScope, WebSocketScope)

logger = logging.getLogger(__name__)
request_log = logging.getLogger("atoll.requests")

_AZURE_PREFIX: Final = "/openai/v1"
# No route has TRACE: the router's refusal then tells the methods that there are, which ``errors`` makes the answer to
# OPTIONS. Litestar's own answer to it leaves out the methods that were registered after the first.
_ROUTED_AS: Final[Mapping[str, Method]] = {"HEAD": "GET", "OPTIONS": "TRACE"}
_UNTRACED: Final = frozenset({"/health", "/metrics"})  # asked every few seconds by machines
_SERVER_ERROR: Final = 500
_CLIENT_GONE: Final = 499
"""Counted where there was nobody left to answer, as nginx does."""
BODY_PIECE_S_MAX: Final = 60.0
"""A client that has more of a request to send, and sends nothing of it for so long, counts as gone."""


class Edge:
    """Wraps the application. ``clock`` gives seconds that never go back; ``on_stopping``, which may be set, ends what
    would go on for ever.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.perf_counter,
        new_request_id: Callable[[], str] = lambda: f"req_{secrets.token_hex(16)}",
        tracing: Tracing | None = None,
        logs_requests: bool = False,
        body_piece_s_max: float = BODY_PIECE_S_MAX,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock
        self._new_request_id = new_request_id
        self._tracing = tracing
        self._logs_requests = logs_requests
        self._body_piece_s_max = body_piece_s_max
        self.on_stopping: Callable[[], None] = lambda: None
        self.refusal: StartRefusedError | None = None
        """Why the application could not be begun, where that is known."""
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or serve one WebSocket; everything else goes through as it is."""
        kind: str = scope["type"]
        if kind not in (ScopeType.HTTP, ScopeType.WEBSOCKET):
            await self._live(scope, receive, send)
            return
        self._active += 1
        self._idle.clear()
        try:
            if scope["type"] == ScopeType.WEBSOCKET:
                await self._connect(_inner_scope(scope), receive, send)
            else:
                await self._answer(_inner_scope(scope), receive, send)
        finally:
            self._active -= 1
            if not self._active:
                self._idle.set()

    def begin_stopping(self) -> None:
        """End what would go on for ever; everything else is still answered."""
        self.on_stopping()

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Begin and end the application; a start that is refused is told in words, without a traceback."""

        async def tell(message: Message) -> None:
            kind: str = message["type"]
            if kind == "lifespan.startup.failed" and self.refusal is not None:
                message = cast("Message", {"type": kind, "message": str(self.refusal)})
            await send(message)

        await self._app(scope, receive, tell)

    async def drained(self, timeout_s: float) -> bool:
        """Wait until no request is being answered any more; tells whether that came about in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def _connect(self, scope: WebSocketScope, receive: Receive, send: Send) -> None:
        started_at = self._clock()
        about = self._begin(scope, "WS")
        answer = UpgradeAnswer(scope, send, about.request_id)
        try:
            await self._app(scope, receive, answer.send)
        finally:
            self._end(scope, about, _Ended("WS", answer.status or _CLIENT_GONE, self._clock() - started_at))

    async def _answer(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        started_at = self._clock()
        about = self._begin(scope, scope["method"])
        answer = _Answer(send, about.request_id, lambda: self._clock() - started_at, head=is_head(scope))
        scope["method"] = _ROUTED_AS.get(scope["method"], scope["method"])
        received = _Received(receive, self._body_piece_s_max)
        try:
            await self._app(scope, received.receive, answer.send)
        except asyncio.CancelledError:
            # Only the server's own end cancels a request; the task ends here, so nobody waits for the cancellation.
            await answer.fail(_stopping())
        except Exception as error:  # noqa: BLE001 - the last resort: nothing may leave without an answer
            if _is_client_gone(error):
                logger.debug("the client went away")
                if not answer.is_whole:  # else it is noticed late only, and the client's next request may be on its way
                    await hang_up(scope, receive)
            else:
                await answer.fail(failure_of(error, scope))
        finally:
            ended = _Ended(method_of(scope), answer.status or _CLIENT_GONE, self._clock() - started_at)
            self._metrics.answered(ended.method, _route(scope), ended.status, ended.seconds)
            self._metrics.carried(received.body_bytes, answer.body_bytes)
            self._end(scope, about, ended)

    def _begin(self, scope: HTTPScope | WebSocketScope, method: str) -> About:
        """Let all that happens from now on be about this request."""
        about = begin(About(self._new_request_id()))
        mark(scope, request_id=about.request_id)
        if self._tracing is not None and scope["path"] not in _UNTRACED:
            about.span = self._tracing.begin_request(method, scope["headers"])
            about.span.set("http.request.method", method)
            about.span.set("atoll.request.id", about.request_id)
        return about

    def _end(self, scope: Scope, about: About, ended: "_Ended") -> None:
        if about.span is not NO_SPAN:
            about.span.set("http.route", _route(scope))
            about.span.set("http.response.status_code", ended.status)
            if ended.status >= _SERVER_ERROR:
                about.span.fail(str(ended.status))
            about.span.end(f"{ended.method} {_route(scope)}")
        if self._logs_requests:
            fields = {
                "method": ended.method,
                "route": _route(scope),
                "status": ended.status,
                "duration_ms": round(ended.seconds * 1000, 3),
            }
            what = (ended.method, _route(scope), ended.status, fields["duration_ms"])
            request_log.info("%s %s %d in %.1f ms", *what, extra={"fields": fields})


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a request went; ``status`` is 499 where the client went away."""

    method: str
    status: int
    seconds: float


def _route(scope: Scope) -> str:
    """Give the route's template: paths themselves may hold what people named."""
    return str(scope.get("path_template") or "none")


class _Received:
    """The way into one request: counts the bytes of its body as they are taken, and does not wait for them for ever."""

    def __init__(self, receive: Receive, piece_s_max: float) -> None:
        self._receive = receive
        self._piece_s_max = piece_s_max
        self._is_whole = False
        self.body_bytes = 0

    async def receive(self) -> HTTPReceiveMessage | WebSocketReceiveMessage:
        """Pass one message on; of a client that stopped in the middle of its body, that it went."""
        if self._is_whole:
            return await self._receive()
        try:
            async with asyncio.timeout(self._piece_s_max):
                message = await self._receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        if message["type"] == "http.request":
            self.body_bytes += len(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)
        return message


class _Answer:
    """The way out of one request: adds headers, knows how far the answer has come."""

    def __init__(self, send: Send, request_id: str, elapsed_s: Callable[[], float], *, head: bool) -> None:
        self._send = send
        self._request_id = request_id
        self._elapsed_s = elapsed_s
        self._head = head
        self.status: int | None = None
        self.is_whole = False
        self.body_bytes = 0

    async def send(self, message: Message) -> None:
        """Pass one message on, with what every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = cast("Message", {**message, "headers": self._headers(message.get("headers", ()))})
        elif message["type"] == "http.response.body" and self._head:
            if message.get("more_body", False):
                return
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        if message["type"] == "http.response.body":
            self.body_bytes += len(message.get("body", b""))
            self.is_whole = not message.get("more_body", False)
        await self._send(message)

    async def fail(self, failure: Failure) -> None:
        """Answer with a failure when nothing was said yet; otherwise break the answer off, so that it shows."""
        if self.status is not None:
            raise BrokenOffError
        headers = {
            **failure.headers,
            "content-type": "application/json",
            "content-length": str(len(failure.body)),
        }
        encoded = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": failure.status, "headers": encoded})
        await self.send({"type": "http.response.body", "body": failure.body, "more_body": False})

    def _headers(self, given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        headers = [(name, _with_head(value) if name == b"allow" else value) for name, value in given]
        headers.append((b"x-request-id", self._request_id.encode("ascii")))
        headers.append((b"openai-processing-ms", b"%d" % (self._elapsed_s() * 1000)))
        headers.append((b"openai-version", b"2020-10-01"))
        headers.append((b"x-content-type-options", b"nosniff"))
        return headers


class BrokenOffError(Exception):
    """An answer could not be finished; the connection must be closed so that the client sees it."""


def _inner_scope(scope: S) -> S:
    """Give the scope that the application sees: its own copy, under ``/v1`` whatever base path was used."""
    inner = cast("S", dict(scope))
    path = scope["path"]
    if path.startswith(_AZURE_PREFIX) and path[len(_AZURE_PREFIX) :][:1] in ("", "/"):
        inner["path"] = path.removeprefix("/openai")
    return inner


def _is_client_gone(error: Exception) -> bool:
    """Tell also when Litestar has wrapped it, as each of its layers does once an answer has begun."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, ClientGoneError):
        found = found.__cause__
    return found is not None


def _with_head(allow: bytes) -> bytes:
    methods = {method.strip() for method in allow.decode("ascii").split(",")}
    if "GET" in methods:
        methods.add("HEAD")
    return ", ".join(sorted(methods)).encode("ascii")


def _stopping() -> Failure:
    return Failure(
        status=503,
        error=ErrorBody(
            message="The server is stopping and did not finish this request. Containers and their files are kept.",
            type="server_error",
            param=None,
            code="server_stopping",
        ),
        headers={"Retry-After": "1", "Connection": "close", "x-should-retry": "false"},
    )
