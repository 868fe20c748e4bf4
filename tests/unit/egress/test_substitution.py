"""Placeholders in headers."""

import base64

import h11
import pytest

from atoll.egress.refusal import RefusedError
from atoll.egress.substitution import VALUES_BYTES_MAX, Substitution

VALUES = {"TOKEN": "s3cret", "TOKEN_TWO": "other"}


def filled(value: str, name: str = "Authorization") -> str:
    request = h11.Request(method="GET", target="/$TOKEN", headers=[("Host", "a.example"), (name, value)])
    given = Substitution(VALUES).apply(request)
    assert given.target == b"/$TOKEN"
    return dict(given.headers.raw_items())[name.encode()].decode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Bearer $TOKEN", "Bearer s3cret"),
        ("$TOKEN", "s3cret"),
        ("a=$TOKEN;b=$TOKEN_TWO", "a=s3cret;b=other"),
        ("${TOKEN}x", "s3cretx"),
        ("$TOKENS", "$TOKENS"),
        ("$TOKEN_", "$TOKEN_"),
        ("$TOKEN-x", "s3cret-x"),
        ("$OTHER TOKEN", "$OTHER TOKEN"),
        ("$$TOKEN", "$s3cret"),
        ("Basic !!!", "Basic !!!"),
    ],
)
def test_headers(value: str, expected: str) -> None:
    assert filled(value) == expected
    assert filled(value, "X-Api-Key") == expected


def test_basic() -> None:
    given = filled("Basic " + base64.b64encode(b"user:$TOKEN").decode())
    assert base64.b64decode(given.removeprefix("Basic ")) == b"user:s3cret"


def test_where_a_request_goes_is_left_alone() -> None:
    request = h11.Request(method="GET", target="/", headers=[("Host", "$TOKEN"), ("Connection", "$TOKEN")])
    assert Substitution(VALUES).apply(request).headers == request.headers


def test_what_is_put_into_one_request_is_bounded() -> None:
    value = "v" * 1024
    substitution = Substitution({"A": value})
    most = VALUES_BYTES_MAX // len(value)
    head = [(b"x", b"$A")] * (most - 2) + [(b"authorization", b"Basic " + base64.b64encode(b"$A:${A}"))]
    assert sum(map(len, substitution.fill(head))) > VALUES_BYTES_MAX
    for _ in range(2):  # it is the one request that has too many, not all of them together
        with pytest.raises(RefusedError):
            substitution.fill([*head, (b"x", b"$A")])
    assert substitution.fill(head)
