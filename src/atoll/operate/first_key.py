"""The key of the first start, kept where the operator finds it."""

import os
import secrets
from pathlib import Path
from typing import Final

from atoll.operate.system_user import SystemUser, acting_as

_CHOSEN_CHARS_MIN: Final = 8
_SECRET_CHARS_MAX: Final = 512
_SECRET_BYTES: Final = 32


def read_key(path: Path, user: SystemUser | None = None) -> str | None:
    """Give the kept key, ``None`` when there is none or it is not ours to read."""
    try:
        with acting_as(user):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, encoding="utf-8") as file:
        return file.read(_SECRET_CHARS_MAX).strip() or None


def key_problem(secret: str) -> str | None:
    """Say why the server would not take a key that somebody chose; ``None`` when it would."""
    if not _CHOSEN_CHARS_MIN <= len(secret) <= _SECRET_CHARS_MAX:
        return f"an API key has from {_CHOSEN_CHARS_MIN} to {_SECRET_CHARS_MAX} characters"
    if not (secret.isascii() and secret.isprintable()) or secret != secret.strip():
        return "an API key has printable ASCII characters only, and no space at its ends"
    return None


def make_key() -> str:
    """Give a new secret: 256 random bits."""
    return "sk-atoll-" + secrets.token_urlsafe(_SECRET_BYTES)


def keep_key(path: Path, user: SystemUser | None, secret: str) -> None:
    """Write a new file that only its owner reads. Raises ``OSError``, ``FileExistsError`` above all."""
    with acting_as(user):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secret + "\n")
            file.flush()
            os.fsync(descriptor)
