"""Paths of Unix sockets that fit: the kernel takes 107 bytes, and folders may lie deep."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def short_address(path: Path) -> Iterator[str]:
    """Give a short name of ``path`` for ``bind`` and ``connect``, good within the context. Raises ``OSError``."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
