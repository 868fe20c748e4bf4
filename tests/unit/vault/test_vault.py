"""Secrets at rest, and the authorities that follow from the key."""

import datetime as dt
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from atoll.vault.authority import Authority
from atoll.vault.key import VaultKey
from atoll.vault.sealing import NotSealedError, Sealing

KEY, OTHER_KEY = VaultKey(bytes(32)), VaultKey(bytes([1]) * 32)
SANDBOX = "sbx_" + "0" * 32


@given(st.text(max_size=200))
def test_what_was_sealed_can_be_opened_and_not_read(value: str) -> None:
    sealed = Sealing(KEY).seal("example.com", "TOKEN", value)
    assert Sealing(KEY).open(sealed) == value
    assert len(value) < 8 or value not in sealed.sealed
    assert sealed.sealed not in repr(sealed)
    assert Sealing(KEY).seal("example.com", "TOKEN", value).sealed != sealed.sealed


def test_it_opens_only_where_it_belongs() -> None:
    sealed = Sealing(KEY).seal("example.com", "TOKEN", "value")
    for wrong in (
        replace(sealed, domain="example.org"),
        replace(sealed, name="OTHER"),
        replace(sealed, sealed=sealed.sealed[:-4] + "AAA="),
        replace(sealed, sealed=""),
        replace(sealed, sealed="not base64"),
    ):
        with pytest.raises(NotSealedError):
            Sealing(KEY).open(wrong)
    with pytest.raises(NotSealedError):
        Sealing(OTHER_KEY).open(sealed)


def test_a_key_is_not_shown() -> None:
    assert "\\x01" not in repr(OTHER_KEY)
    with pytest.raises(ValueError, match="length"):
        VaultKey(b"short")


def test_an_authority_is_the_sandboxs_own_and_always_the_same() -> None:
    first, again = (x509.load_pem_x509_certificate(Authority(KEY, SANDBOX).pem.encode()) for _ in range(2))
    others = [Authority(OTHER_KEY, SANDBOX), Authority(KEY, SANDBOX[:-1] + "1")]
    assert first.public_key() == again.public_key()
    assert first.subject == again.subject
    assert all(
        x509.load_pem_x509_certificate(other.pem.encode()).public_key() != first.public_key() for other in others
    )


def test_a_certificate_is_for_its_name_only() -> None:
    authority = Authority(KEY, SANDBOX)
    root = x509.load_pem_x509_certificate(authority.pem.encode())
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    leaf = x509.load_pem_x509_certificate(authority.issue("example.com", now))
    leaf.verify_directly_issued_by(root)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["example.com"]
    assert leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert leaf.not_valid_before_utc < now < leaf.not_valid_after_utc
    assert isinstance(leaf.public_key(), ec.EllipticCurvePublicKey)
