"""Whether the disk below the data folder is full: of bytes, or of files."""

import os
from typing import Final

# What is left when a write did not fit may be a block or two.
_FULL_BYTES: Final = 64 * 1024


def is_full(data_dir: str) -> bool:
    """Tell it as it is now; what was full and was tidied up since is not. False where nothing is known."""
    try:
        found = os.statvfs(data_dir)
    except OSError:
        return False
    # A file system without a number of files that it can have says 0 of 0.
    return found.f_bavail * found.f_frsize < _FULL_BYTES or (found.f_files > 0 and found.f_favail == 0)
