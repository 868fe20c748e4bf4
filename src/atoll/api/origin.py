"""Which web pages may open a WebSocket here: browsers ask no permission for it, but say whose page it is."""

from collections.abc import Collection
from urllib.parse import urlsplit

from litestar.types import Scope

from atoll.api.body import header


def is_allowed(scope: Scope, others: Collection[str]) -> bool:
    """Tell whether the request is of no browser's page, of one of this server's own, or of one of ``others``."""
    origin = header(scope, b"origin")
    if origin is None or origin in others:
        return True
    try:
        own = urlsplit(origin).netloc.lower()
    except ValueError:
        return False
    return bool(own) and own == (header(scope, b"host") or "").lower()
