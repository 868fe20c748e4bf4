"""A sandbox's own certificate authority: only that sandbox trusts it, and it signs only for its secrets' domains."""

import datetime as dt
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from atoll.vault.key import VaultKey

# Wide, because a container lives long and clocks differ; the key dies with the sandbox's trust in it.
_SINCE: Final = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
_UNTIL: Final = dt.datetime(2049, 12, 31, tzinfo=dt.UTC)
_LEAF_DAYS: Final = 90  # clients refuse certificates of servers that hold much longer
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256


class Authority:
    """The same one for the same key and sandbox, whoever makes it; ``pem`` is what the sandbox is to trust."""

    def __init__(self, key: VaultKey, sandbox_id: str) -> None:
        # 16 bytes more than the order has, so that the remainder is as good as evenly spread.
        scalar = int.from_bytes(key.derive(f"authority {sandbox_id}", 48), "big") % (_ORDER - 1) + 1
        self._key = ec.derive_private_key(scalar, ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Atoll {sandbox_id}")])

    @property
    def pem(self) -> str:
        """The authority's certificate."""
        certificate = (
            self._builder(self._name, self._key.public_key(), _SINCE, _UNTIL)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, SHA256())
        )
        return certificate.public_bytes(Encoding.PEM).decode()

    def issue(self, name: str, now: dt.datetime) -> bytes:
        """Give a new certificate for a name and its key, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        day = dt.timedelta(days=1)
        certificate = (
            self._builder(x509.Name([]), key.public_key(), now - day, now + _LEAF_DAYS * day)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self._key, SHA256())
        )
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return certificate.public_bytes(Encoding.PEM) + secret

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, since: dt.datetime, until: dt.datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(since)
            .not_valid_after(until)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
