"""One running Atoll for each data folder, held by a lock that the kernel lets go when its holder dies."""

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NAME: Final = "atoll.lock"
_CONTENT_BYTES_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Instance:
    """The Atoll that runs on a data folder; ``base_url`` is ``None`` until it listens."""

    pid: int
    base_url: str | None


class AlreadyRunningError(Exception):
    """Another Atoll holds the folder."""

    def __init__(self, folder: Path, instance: Instance | None) -> None:
        who = f"process {instance.pid}" if instance else "another process"
        super().__init__(f"Atoll runs already on {folder} ({who}). `atoll down` ends it.")


class InstanceLock:
    """Held from ``take`` until ``release`` or the process's end. Programs that it starts do not inherit it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor = -1

    def take(self) -> None:
        """Hold the lock. Raises ``AlreadyRunningError``."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._folder / _NAME, flags, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise AlreadyRunningError(self._folder, running_instance(self._folder)) from None
        self._descriptor = descriptor
        self.publish(None)

    def publish(self, base_url: str | None) -> None:
        """Let others on this machine know who holds the lock and where it listens."""
        content = json.dumps({"pid": os.getpid(), "base_url": base_url}).encode()
        os.pwrite(self._descriptor, content.ljust(_CONTENT_BYTES_MAX // 8), 0)

    def release(self) -> None:
        """Let the lock go; again is no error."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def running_instance(folder: Path) -> Instance | None:
    """Give the Atoll that runs on a data folder, ``None`` when none does.

    What the file says counts only while the kernel says that this very process holds the lock.
    """
    try:
        descriptor = os.open(folder / _NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not _holds(descriptor, instance := _read(descriptor)):
            return None
        return instance
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> Instance | None:
    try:
        content = json.loads(os.pread(descriptor, _CONTENT_BYTES_MAX, 0))
        pid, base_url = content["pid"], content.get("base_url")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if not isinstance(pid, int) or pid <= 1:
        return None
    return Instance(pid, base_url if isinstance(base_url, str) else None)


def _holds(descriptor: int, instance: Instance | None) -> bool:
    """Tell whether the kernel's list of locks has this file held by that process."""
    if instance is None:
        return False
    inode = f":{os.fstat(descriptor).st_ino}"  # the device before it is not stat's on every file system (btrfs)
    for line in Path("/proc/locks").read_text("ascii").splitlines():
        fields = line.split()
        held = fields[1:4] == ["FLOCK", "ADVISORY", "WRITE"] and fields[4] == str(instance.pid)
        if held and fields[5].endswith(inode):
            return True
    return False
