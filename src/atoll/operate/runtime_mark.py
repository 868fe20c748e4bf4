"""Which runtime a data folder's sandboxes belong to: another one would take them for rubbish and clear them away."""

import os
from pathlib import Path
from typing import Final

from atoll.settings import Settings

_NAME: Final = "runtime"
_CHARS_MAX: Final = 64


class OtherRuntimeError(Exception):
    """The data folder was made with another runtime."""


def marked_runtime(data_dir: Path) -> str | None:
    """Give the runtime that a data folder was made with; ``None`` when nothing was ever started on it."""
    try:
        descriptor = os.open(data_dir / _NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, encoding="ascii", errors="replace") as file:
        return file.read(_CHARS_MAX).strip()


def mark_runtime(settings: Settings) -> None:
    """Note the runtime at the first start. To be called with the instance's lock held.

    Raises ``OtherRuntimeError`` when it is not that of the first start.
    """
    marked = marked_runtime(settings.data_dir)
    if marked == settings.runtime:
        return
    if marked:
        raise OtherRuntimeError(
            f"{settings.data_dir} was made with the runtime `{marked}`, and its containers' files are kept in that "
            f"one's form. Use --runtime {marked}, or another --data-dir."
        )
    descriptor = os.open(settings.data_dir / _NAME, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(settings.runtime + "\n")
        file.flush()
        os.fsync(descriptor)
