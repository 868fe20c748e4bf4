"""Encrypts the values of domain secrets: AES-256-GCM, bound to the domain and the name that they are for."""

import base64
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from atoll.model.network_policy import DomainSecret
from atoll.vault.key import VaultKey

_NONCE_BYTES: Final = 12


class NotSealedError(Exception):
    """The text was not sealed with this key, for this domain and name."""


class Sealing:
    """Seals and opens with one key."""

    def __init__(self, key: VaultKey) -> None:
        self._cipher = AESGCM(key.derive("domain secrets"))

    def seal(self, domain: str, name: str, value: str) -> DomainSecret:
        """Give a secret that can be stored."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, value.encode(), _context(domain, name))
        return DomainSecret(domain=domain, name=name, sealed=base64.b64encode(sealed).decode())

    def open(self, secret: DomainSecret) -> str:
        """Give a secret's value. Raises ``NotSealedError``."""
        try:
            sealed = base64.b64decode(secret.sealed, validate=True)
            value = self._cipher.decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _context(secret.domain, secret.name)
            )
            return value.decode()
        except (ValueError, InvalidTag) as error:
            raise NotSealedError("a secret cannot be opened") from error


def _context(domain: str, name: str) -> bytes:
    return f"{domain}\n{name}".encode()
