"""Files with holes: where something is written in them, and blocks that two of them share."""

import errno
import fcntl
import os
from collections.abc import Iterator
from typing import Final

_FICLONE: Final = 0x40049409


def written(descriptor: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Give the stretches between two places of a file in which something is written, in order.

    Raises ``OSError``.
    """
    while start < end:
        try:
            first = os.lseek(descriptor, start, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the file's end
                return
            raise
        if first >= end:
            return
        start = min(end, os.lseek(descriptor, first, os.SEEK_HOLE))
        yield first, start


def share_blocks(source: int, target: int) -> bool:
    """Make a file the same as another at once, on the same blocks; ``False`` where the disk cannot."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True
