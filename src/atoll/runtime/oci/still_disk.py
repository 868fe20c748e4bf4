"""A disk that stands still while somebody copies it: its file system is frozen, everything written is on it.

A freeze outlives the process that asked for it, so a mark on disk says that there is one, and the next supervisor ends
it. Who writes meanwhile waits.
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from atoll.runtime.oci.disk import DISK_NAME
from atoll.runtime.oci.init_process import InitProcess

_log = logging.getLogger(__name__)

_FIFREEZE: Final = 0xC0045877
_FITHAW: Final = 0xC0045878


class NotItsDiskError(OSError):
    """What is seen at the place of the disk is something else."""


@contextmanager
def frozen(process: InitProcess, sandbox_id: str, mark: Path) -> Iterator[bool]:
    """Freeze the disk of a running sandbox while the body runs; gives whether that could be done."""
    try:
        descriptor = _open(process, sandbox_id)
    except OSError as error:
        _log.warning("the disk of %s cannot be held still: %s", sandbox_id, error)
        yield False
        return
    try:
        mark.touch(mode=0o600)
        fcntl.ioctl(descriptor, _FIFREEZE, 0)
        try:
            yield True
        finally:
            fcntl.ioctl(descriptor, _FITHAW, 0)
    finally:
        os.close(descriptor)
        mark.unlink(missing_ok=True)


def thaw(process: InitProcess, sandbox_id: str, mark: Path) -> None:
    """End a freeze that a supervisor left which died over it."""
    if not mark.exists():
        return
    _log.warning("the disk of %s is let go of, which an earlier supervisor held", sandbox_id)
    descriptor = _open(process, sandbox_id)
    try:
        with suppress(OSError):  # it is not frozen any more
            fcntl.ioctl(descriptor, _FITHAW, 0)
    finally:
        os.close(descriptor)
    mark.unlink(missing_ok=True)


def _open(process: InitProcess, sandbox_id: str) -> int:
    """Open a folder on the disk through the sandbox's own mounts, and make sure that it is this disk's.

    Inside somebody may have put anything in its place: freezing that could be freezing the host.
    """
    path = f"/proc/{process.pid}/root/mnt/data"
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _check_disk(process, os.fstat(descriptor).st_dev, sandbox_id)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_disk(process: InitProcess, device: int, sandbox_id: str) -> None:
    backing = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/loop/backing_file").read_text().strip()
    if process.has_ended or not backing.endswith(f"/{sandbox_id}/{DISK_NAME}"):
        raise NotItsDiskError(f"another disk is at its place: {backing}")
