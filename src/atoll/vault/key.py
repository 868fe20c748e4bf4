"""The one key."""

from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class VaultKey:
    """Never shown: what is made of it by ``derive`` tells nothing of it."""

    value: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for a key of another length."""
        if len(self.value) != KEY_BYTES:
            raise ValueError("a key of another length")

    def derive(self, purpose: str, size: int = KEY_BYTES) -> bytes:
        """Give the key for one purpose."""
        return HKDF(SHA256(), size, None, f"atoll {purpose}".encode()).derive(self.value)
