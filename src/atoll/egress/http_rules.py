"""What an HTTP/1 request may be that goes to one name; pure."""

import re
from typing import Final

import h11

from atoll.egress.refusal import RefusedError
from atoll.model.domain_pattern import host_name
from atoll.model.egress_decision import EgressReason

_ABSOLUTE: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")
_AUTHORITY: Final = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?")
_WEBSOCKET: Final = b"websocket"

UNWANTED_METHODS: Final = frozenset({b"CONNECT", b"TRACE"})
"""One asks for a tunnel, the other for its own headers as an answer, with the values that were put in for secrets."""


def check_request(request: h11.Request, name: str, port: int) -> None:
    """Refuse a request that is not for ``name`` at ``port``, or that is no request. Raises ``RefusedError``.

    Every request counts, not only a connection's first: servers that serve many names look at each.
    """
    if request.method in UNWANTED_METHODS or not request.http_version.startswith(b"1."):
        raise RefusedError(EgressReason.NOT_HTTP)
    _check_framing(request)
    hosts = [value for key, value in request.headers if key == b"host"]
    if len(hosts) != 1:
        raise RefusedError(EgressReason.NO_NAME)
    check_authority(hosts[0], name, port)
    absolute = _ABSOLUTE.match(request.target)
    if absolute:
        check_authority(absolute[1], name, port)
    elif not request.target.startswith(b"/") and request.target != b"*":
        raise RefusedError(EgressReason.NOT_HTTP)


def forwarded(request: h11.Request) -> h11.Request:
    """Give the request that goes on: itself in HTTP/1.1, which is what servers are spoken to in, but without an offer
    to go on in anything that is no WebSocket.

    After another upgrade (to HTTP/2, say) requests would go through that nobody looks at.
    """
    offers = [value for key, value in request.headers if key == b"upgrade"]
    if not offers or (is_websocket(request) and not is_old(request)):
        if request.http_version == b"1.1":
            return request
        return h11.Request(method=request.method, target=request.target, headers=request.headers.raw_items())
    kept = []
    for raw_key, value in request.headers.raw_items():
        key = raw_key.lower()
        if key in (b"upgrade", b"http2-settings"):
            continue
        if key == b"connection":
            words = [word.strip() for word in value.split(b",")]
            value = b", ".join(word for word in words if word.lower() not in (b"upgrade", b"http2-settings"))  # noqa: PLW2901
            if not value:
                continue
        kept.append((raw_key, value))
    return h11.Request(method=request.method, target=request.target, headers=kept)


def is_old(request: h11.Request) -> bool:
    """Tell whether who asks knows neither upgrades nor answers that are not the last one (RFC 9110 section 15.2)."""
    return request.http_version < b"1.1"


def is_websocket(request: h11.Request) -> bool:
    """Tell whether a request asks for a WebSocket and nothing else."""
    offers = [value.strip().lower() for key, value in request.headers if key == b"upgrade"]
    return offers == [_WEBSOCKET]


def _check_framing(request: h11.Request) -> None:
    """Refuse what one server would take for longer than another: between the two ends another request could hide.

    A length beside chunks, and chunks where the version has none, mean that (RFC 9112 section 6.1).
    """
    keys = {key for key, _ in request.headers}
    if b"transfer-encoding" in keys and (b"content-length" in keys or is_old(request)):
        raise RefusedError(EgressReason.NOT_HTTP)


def check_authority(authority: bytes, name: str, port: int) -> None:
    """Refuse what does not stand for ``name`` at ``port``. Raises ``RefusedError``."""
    match = _AUTHORITY.fullmatch(authority.decode("latin-1"))
    if match is None:
        raise RefusedError(EgressReason.NO_NAME)
    if host_name(match["name"]) != name or (match["port"] is not None and int(match["port"]) != port):
        raise RefusedError(EgressReason.OTHER_NAME)
