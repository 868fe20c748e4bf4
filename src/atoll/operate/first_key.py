"""The key of the first start, kept where the operator finds it."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

from atoll.operate.system_user import SystemUser, acting_as

_SECRET_CHARS_MAX: Final = 512


def read_key(path: Path, user: SystemUser | None = None) -> str | None:
    """Give the kept key, ``None`` when there is none or it is not ours to read."""
    try:
        with acting_as(user):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, encoding="utf-8") as file:
        return file.read(_SECRET_CHARS_MAX).strip() or None


def keep_key(
    path: Path,
    user: SystemUser | None,
    given: str | None,
    make: Callable[[], str] = lambda: "sk-atoll-" + secrets.token_urlsafe(32),
) -> tuple[str, bool]:
    """Give the first key and whether this is the first start, which keeps it in ``path``, for its owner only.

    ``given`` is ``ATOLL_API_KEY``'s value: it counts, and is kept at the first start like one made here.
    """
    kept = read_key(path, user)
    if kept is not None:
        return given or kept, False
    secret = given or make()
    with acting_as(user):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secret + "\n")
            file.flush()
            os.fsync(descriptor)
    return secret, True
