"""Who is asking: a layer around routes that turns the key of a request into its project.

No guard of Litestar's: it copies the whole handler for each request that it guards.
"""

import base64
import re
from typing import Final

from litestar.types import ASGIApp, Receive, Scope, Send, WebSocketScope

from atoll.api.body import header
from atoll.api.request import services_of
from atoll.model.errors import AuthenticationError
from atoll.model.projects import Project

_KEY_CHARS_MAX: Final = 1024
_KEY_SUBPROTOCOL: Final = "atoll.key."
_BEARER: Final = re.compile(r"bearer[ \t]+(\S.*)", re.IGNORECASE)
_MISSING: Final = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
    "(i.e. Authorization: Bearer YOUR_KEY)."
)


class KeyRequired:
    """Lets a request through as its key's project. Raises ``AuthenticationError``."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Name the project in the scope and go on."""
        scope["user"] = await authenticated(scope, presented_key(scope))
        await self._app(scope, receive, send)


async def authenticated(scope: Scope, secret: str | None) -> Project:
    """Give the project that a key opens. Raises ``AuthenticationError``."""
    if secret is None:
        raise AuthenticationError(_MISSING, code="missing_api_key")
    if len(secret) > _KEY_CHARS_MAX:
        raise incorrect_key(secret)
    try:
        return await services_of(scope).keys.authenticate(secret)
    except AuthenticationError as error:
        raise incorrect_key(secret) from error


def presented_key(scope: Scope) -> str | None:
    """Give the key of ``Authorization: Bearer …``, which may hold spaces, or of ``api-key`` (Azure's clients)."""
    authorization = header(scope, b"authorization")
    if authorization is not None:
        match = _BEARER.fullmatch(authorization.strip())
        return match[1] if match else None
    return (header(scope, b"api-key") or "").strip() or None


def offered_key(scope: WebSocketScope) -> str | None:
    """Give the key of a WebSocket: of a header, or, as browsers let pages set none, of a subprotocol that is offered.

    That one is ``atoll.key.`` and the key in URL-safe Base64 without padding: a subprotocol has few characters to it.
    """
    secret = presented_key(scope)
    if secret is not None:
        return secret
    for offered in scope["subprotocols"]:
        if offered.startswith(_KEY_SUBPROTOCOL):
            return _decoded(offered.removeprefix(_KEY_SUBPROTOCOL))
    return None


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except ValueError as error:
        raise incorrect_key(text) from error


def incorrect_key(secret: str) -> AuthenticationError:
    """Say that a key opens nothing, with so little of it that only its owner recognises it."""
    return AuthenticationError(f"Incorrect API key provided: {masked(secret)}.", code="invalid_api_key")


def masked(secret: str) -> str:
    """Give the first five and last three characters of a key that is long enough to lose them."""
    if len(secret) < 20 or not secret.isascii() or not secret.isprintable():
        return "…"
    return f"{secret[:5]}…{secret[-3:]}"
