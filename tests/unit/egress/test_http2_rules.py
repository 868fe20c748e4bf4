"""Requests over HTTP/2 that go to one name, and those that do not."""

import pytest

from atoll.egress.http2_rules import check_head
from atoll.egress.refusal import RefusedError
from atoll.model.egress_decision import EgressReason

NAME, OTHER = "api.example.com", "other.example.com"
GOOD = {":method": "GET", ":scheme": "https", ":authority": NAME, ":path": "/x"}


def head(changes: dict[str, str | None]) -> list[tuple[bytes, bytes]]:
    fields = {**GOOD, **changes}
    return [(key.encode(), value.encode()) for key, value in fields.items() if value is not None]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {":authority": f"{NAME}:443"},
        {":authority": NAME.upper()},
        {":authority": f"{NAME}."},
        {":authority": None, "host": NAME},
        {"host": NAME},
        {":method": "OPTIONS", ":path": "*"},
    ],
)
def test_what_goes(changes: dict[str, str | None]) -> None:
    check_head(head(changes), NAME, 443)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({":authority": OTHER}, EgressReason.OTHER_NAME),
        ({":authority": f"{NAME}:8443"}, EgressReason.OTHER_NAME),
        ({":authority": f"{NAME}:80"}, EgressReason.OTHER_NAME),
        ({"host": OTHER}, EgressReason.OTHER_NAME),
        ({":authority": None, "host": OTHER}, EgressReason.OTHER_NAME),
        ({":authority": f"{OTHER}.{NAME}"}, EgressReason.OTHER_NAME),
        ({":authority": None}, EgressReason.NO_NAME),
        ({":authority": ""}, EgressReason.NO_NAME),
        ({":authority": f"{NAME}@{OTHER}"}, EgressReason.NO_NAME),
        ({":authority": f"{NAME},{OTHER}"}, EgressReason.NO_NAME),
        ({":method": "CONNECT", ":scheme": None, ":path": None}, EgressReason.NOT_HTTP),
        ({":method": "CONNECT", ":protocol": "websocket"}, EgressReason.NOT_HTTP),
        ({":method": "TRACE"}, EgressReason.NOT_HTTP),
        ({":scheme": "http"}, EgressReason.NOT_HTTP),
        ({":scheme": None}, EgressReason.NOT_HTTP),
        ({":path": f"https://{OTHER}/"}, EgressReason.NOT_HTTP),
        ({":path": None}, EgressReason.NOT_HTTP),
    ],
)
def test_what_does_not(changes: dict[str, str | None], reason: EgressReason) -> None:
    with pytest.raises(RefusedError) as refused:
        check_head(head(changes), NAME, 443)
    assert refused.value.reason is reason


def test_two_hosts() -> None:
    with pytest.raises(RefusedError):
        check_head([*head({"host": NAME}), (b"host", NAME.encode())], NAME, 443)
