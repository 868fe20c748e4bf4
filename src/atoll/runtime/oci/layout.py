"""Where the runtime keeps what, in the two folders it owns; and their cleaning."""

import fcntl
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atoll import mounts

_LOCK_PAUSE_S: Final = 0.05


class AlreadyLockedError(Exception):
    """Another process works in these folders."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths in ``sandboxes`` (lasts) and ``run`` (may vanish)."""

    sandboxes: Path
    run: Path

    @property
    def trash(self) -> Path:
        """Folders of destroyed sandboxes, until all of them is freed. Being in here is what destroyed means."""
        return self.sandboxes / ".trash"

    @property
    def templates(self) -> Path:
        """Disks to copy."""
        return self.sandboxes / ".disk-templates"

    @property
    def staging(self) -> Path:
        """Mount points, in a mount namespace that nobody else sees."""
        return self.run / "staging"

    @property
    def oci_state(self) -> Path:
        """The OCI runtime's own folder."""
        return self.run / "oci"

    def folder(self, sandbox_id: str) -> Path:
        """Record and disk of a sandbox."""
        return self.sandboxes / sandbox_id

    def bundle(self, sandbox_id: str) -> Path:
        """The OCI bundle of a running sandbox, closed to all others."""
        return self.run / "bundles" / sandbox_id

    def identity(self, sandbox_id: str) -> Path:
        """Who a running sandbox's first process is."""
        return self.run / "running" / f"{sandbox_id}.json"

    @property
    def zygote_ready(self) -> Path:
        """Holds the pid of a zygote that can be forked from."""
        return self.run / "zygote.pid"

    def agent_socket(self, sandbox_id: str) -> Path:
        """The socket that an agent listens on, in a folder closed to all others."""
        return self.run / "agents" / f"{sandbox_id}.sock"

    @property
    def networks(self) -> Path:
        """The network policies of running sandboxes."""
        return self.run / "networks"

    def still_mark(self, sandbox_id: str) -> Path:
        """What says that a sandbox's disk is frozen for somebody who copies it."""
        return self.run / "still" / sandbox_id

    def ready_mark(self, sandbox_id: str) -> Path:
        """What says that a sandbox waits in the pool."""
        return self.run / "ready" / sandbox_id

    def make(self) -> None:
        """Make all folders."""
        self.sandboxes.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.run.mkdir(mode=0o711, parents=True, exist_ok=True)
        private = (self.trash, self.templates, self.oci_state)
        for folder in (*private, *(self.run / name for name in ("agents", "bundles", "ready", "running", "still"))):
            folder.mkdir(mode=0o700, exist_ok=True)

    def known_ids(self) -> list[str]:
        """Give the names of all folders that may be a sandbox's."""
        return sorted(path.name for path in self.sandboxes.iterdir() if path.name.startswith("sbx_"))

    def forget_run(self, sandbox_id: str) -> None:
        """Remove what ``run`` holds of a sandbox that does not run."""
        self.identity(sandbox_id).unlink(missing_ok=True)
        self.agent_socket(sandbox_id).unlink(missing_ok=True)
        shutil.rmtree(self.bundle(sandbox_id), ignore_errors=True)

    def forget_ready_marks(self) -> None:
        """Remove every mark: none of those that wait in the pool is left."""
        for mark in (self.run / "ready").iterdir():
            mark.unlink()

    def clear_run(self) -> None:
        """Empty ``run``; nothing may run any more. Raises ``OSError``."""
        with suppress(OSError):
            mounts.detach(self.staging)
        for path in self.run.iterdir():
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def lock(folder: Path, timeout_s: float) -> int:
    """Hold ``folder`` for this process until it ends; give the descriptor. Raises ``AlreadyLockedError``.

    Two supervisors on the same disks would destroy them, so a new one waits until the old one is gone.
    """
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise AlreadyLockedError(f"another supervisor works in {folder}") from None
            time.sleep(_LOCK_PAUSE_S)
        else:
            return descriptor
