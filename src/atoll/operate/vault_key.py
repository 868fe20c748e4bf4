"""The file of the key that domain secrets are encrypted with: beside the database, never in it, and root's alone."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from atoll.operate.system_user import UserError
from atoll.vault.key import KEY_BYTES, VaultKey


def read_or_make_key(path: Path) -> VaultKey:
    """Give the key; makes it when there is none. Raises ``UserError``."""
    with suppress(FileExistsError):
        _write(path, secrets.token_bytes(KEY_BYTES).hex())
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, encoding="ascii") as file:
            return VaultKey(bytes.fromhex(file.read(4 * KEY_BYTES).strip()))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} is there, but holds no key. Containers' secrets were encrypted with the one that was in it: bring "
            "it back, or remove the file, and those secrets are lost."
        ) from error


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(descriptor)
