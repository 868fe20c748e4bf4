"""What an HTTP/2 request may be that goes to one name; pure. What is wrong in form h2 has refused before."""

from collections.abc import Iterable
from typing import Final

from atoll.egress.http_rules import UNWANTED_METHODS, check_authority
from atoll.egress.refusal import RefusedError
from atoll.model.egress_decision import EgressReason

_NAMING: Final = (b":authority", b"host")


def check_head(head: Iterable[tuple[bytes, bytes]], name: str, port: int) -> None:
    """Refuse a request that is not for ``name`` at ``port``, or that is no request. Raises ``RefusedError``."""
    fields: dict[bytes, list[bytes]] = {}
    for key, value in head:
        fields.setdefault(key, []).append(value)
    methods = fields.get(b":method", ())
    if not UNWANTED_METHODS.isdisjoint(methods) or b":protocol" in fields or fields.get(b":scheme") != [b"https"]:
        raise RefusedError(EgressReason.NOT_HTTP)
    authorities = [value for key in _NAMING for value in fields.get(key, ())]
    if not authorities or any(len(fields.get(key, ())) > 1 for key in _NAMING):
        raise RefusedError(EgressReason.NO_NAME)
    for authority in authorities:  # servers differ in which one they believe
        check_authority(authority, name, port)
    path = fields.get(b":path", [b""])[0]
    if not path.startswith(b"/") and path != b"*":
        raise RefusedError(EgressReason.NOT_HTTP)
