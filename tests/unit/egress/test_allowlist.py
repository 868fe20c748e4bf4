"""What an allowlist allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.egress.allowlist import Allowlist
from atoll.model.domain_pattern import host_name, parse_domain


def allowlist(*texts: str, outer: Allowlist | None = None) -> Allowlist:
    return Allowlist((parse_domain(text) for text in texts), outer)


@pytest.mark.parametrize(
    ("name", "port", "allowed"),
    [
        ("example.com", 443, True),
        ("example.com", 80, True),
        ("example.com", 8443, True),
        ("example.com", 22, False),
        ("a.example.com", 443, False),
        ("a.example.org", 443, True),
        ("a.b.example.org", 80, True),
        ("example.org", 443, False),
        ("notexample.org", 443, False),
        ("only.example.net", 8443, True),
        ("only.example.net", 443, False),
        ("", 443, False),
        ("com", 443, False),
    ],
)
def test_names_and_ports(name: str, port: int, allowed: bool) -> None:
    mine = allowlist("example.com", "example.com:8443", "*.example.org", "only.example.net:8443")
    assert mine.allows(name, port) is allowed


def test_what_the_operator_does_not_allow_is_not_allowed() -> None:
    mine = allowlist("example.com", "a.example.org", outer=allowlist("example.com:443", "*.example.org"))
    assert mine.ports_of("example.com") == {443}
    assert mine.ports_of("a.example.org") == {80, 443}
    assert not allowlist("example.net", outer=allowlist("example.com")).ports_of("example.net")


@given(st.text(max_size=300))
def test_no_other_name_is_allowed(text: str) -> None:
    name = host_name(text)
    is_listed = name == "example.com" or name.endswith(".example.org")
    assert bool(allowlist("example.com", "*.example.org").ports_of(name)) <= is_listed
