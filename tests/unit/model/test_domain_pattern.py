"""Entries of ``allowed_domains``: what is one, what it stands for, and what is within what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.model.domain_pattern import DomainPattern, DomainRefusedError, parse_domain


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("example.com", DomainPattern("example.com")),
        ("Example.COM.", DomainPattern("example.com")),
        ("*.example.com", DomainPattern("example.com", is_wildcard=True)),
        ("example.com:8443", DomainPattern("example.com", port=8443)),
        ("*.example.com:443", DomainPattern("example.com", is_wildcard=True, port=443)),
        ("bücher.example", DomainPattern("xn--bcher-kva.example")),
        ("BÜCHER.example", DomainPattern("xn--bcher-kva.example")),
        ("例え.テスト", DomainPattern("xn--r8jz45g.xn--zckzah")),
        ("my_bucket.example.com", DomainPattern("my_bucket.example.com")),
        (f"{'a' * 63}.example", DomainPattern(f"{'a' * 63}.example")),
    ],
)
def test_entries(text: str, pattern: DomainPattern) -> None:
    assert parse_domain(text) == pattern


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("   ", "empty"),
        (" example.com", "whitespace"),
        ("exam ple.com", "whitespace"),
        ("example.com\n", "whitespace"),
        ("https://example.com", "URL"),
        ("example.com/path", "URL"),
        ("user@example.com", "URL"),
        ("*", "bare"),
        ("*.", "bare"),
        ("a.*.example.com", "'\\*' can only"),
        ("*example.com", "'\\*' can only"),
        ("*.*.example.com", "'\\*' can only"),
        ("*.com", "not a domain"),
        ("localhost", "not a domain"),
        ("1.2.3.4", "address"),
        ("1.2.3.4:80", "address"),
        ("127.1", "address"),
        ("0x7f.0x1", "address"),
        ("[::1]", "address"),
        ("::1", "address"),
        ("2001:db8::1", "address"),
        ("example.com:0", "port"),
        ("example.com:65536", "port"),
        ("example.com:", "port"),
        ("example.com:http", "port"),
        ("example.com:\uff11\uff12", "port"),
        ("-example.com", "not a domain"),
        ("example..com", "not a domain"),
        (f"{'a' * 64}.example", "not a domain"),
        (f"{'a.' * 130}example", "longer"),
        ("a" * 400, "longer"),
        ("\u0000.example.com", "not a domain"),
        ("\u200b.example", "ASCII form"),
    ],
)
def test_what_is_refused(text: str, why: str) -> None:
    with pytest.raises(DomainRefusedError, match=why):
        parse_domain(text)


@given(st.text(max_size=400))
def test_any_text_is_an_entry_or_refused(text: str) -> None:
    try:
        pattern = parse_domain(text)
    except DomainRefusedError:
        return
    assert pattern.name.isascii()
    assert pattern.name == pattern.name.lower()
    assert "." in pattern.name.strip(".")
    port = "" if pattern.port is None else f":{pattern.port}"
    assert parse_domain(f"{'*.' if pattern.is_wildcard else ''}{pattern.name}{port}") == pattern


@pytest.mark.parametrize(
    ("outer", "inner", "covered"),
    [
        ("example.com", "example.com", True),
        ("example.com", "a.example.com", False),
        ("example.com", "*.example.com", False),
        ("*.example.com", "example.com", False),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "*.example.com", True),
        ("*.example.com", "*.a.example.com", True),
        ("*.a.example.com", "*.example.com", False),
        ("*.example.com", "badexample.com", False),
        ("example.com", "example.com:443", True),
        ("example.com:443", "example.com", False),
        ("example.com", "example.com:8443", False),
        ("example.com:8443", "example.com:8443", True),
    ],
)
def test_what_is_within_what(outer: str, inner: str, covered: bool) -> None:
    assert parse_domain(outer).covers(parse_domain(inner)) is covered
