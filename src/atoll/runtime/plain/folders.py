"""Sandboxes on disk: ``<folder>/<sandbox id>/`` with a record, the data, a home and the agent's socket.

A folder without a record is one whose creation, or removal, was cut short: it is nobody's.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from atoll.model.ids import SandboxId, is_id
from atoll.runtime.contract import RuntimeUnavailableError, SandboxSpec

_RECORD: Final = "sandbox.json"


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of a sandbox; ``created_at`` is in unix seconds."""

    spec: SandboxSpec
    created_at: float


class Folders:
    """The folder of all sandboxes, held by one server at a time."""

    def __init__(self, root: Path) -> None:
        """Make the folder if need be, take it, and clear away what is nobody's."""
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._root = root
        self._lock = _lock(root / ".lock")
        if self._lock is None:
            raise RuntimeUnavailableError("another server uses this folder of sandboxes already")
        for entry in root.iterdir():
            if is_id("sbx_", entry.name) and self.find(SandboxId(entry.name)) is None:
                self.remove(SandboxId(entry.name))

    def path(self, sandbox_id: SandboxId) -> Path:
        """Give the folder of a well-formed id; whether it is there is another question."""
        return self._root / sandbox_id

    def add(self, sandbox_id: SandboxId, record: Record) -> None:
        """Make a sandbox's folder; the record comes last and whole."""
        path = self.path(sandbox_id)
        for folder in (path, path / "data", path / "home"):
            folder.mkdir(mode=0o700)
        draft = path / f"{_RECORD}.new"
        with draft.open("x") as file:
            json.dump({"spec": asdict(record.spec), "created_at": record.created_at}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path / _RECORD)

    def records(self) -> Iterator[tuple[SandboxId, Record]]:
        """Give every sandbox of which there is a folder."""
        for entry in self._root.iterdir():
            sandbox_id = SandboxId(entry.name)
            if is_id("sbx_", entry.name) and (record := self.find(sandbox_id)):
                yield sandbox_id, record

    def find(self, sandbox_id: SandboxId) -> Record | None:
        """Give a sandbox's record if it is there."""
        if not is_id("sbx_", sandbox_id):
            return None
        try:
            fields = json.loads((self.path(sandbox_id) / _RECORD).read_text())
            return Record(SandboxSpec(**fields["spec"]), float(fields["created_at"]))
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            return None

    def remove(self, sandbox_id: SandboxId) -> None:
        """Remove a sandbox's folder; the record goes first, so that half of one is not taken for a sandbox."""
        path = self.path(sandbox_id)
        with suppress(FileNotFoundError):
            (path / _RECORD).unlink()
        _make_removable(path)
        shutil.rmtree(path, ignore_errors=True)

    def lock(self, sandbox_id: SandboxId) -> int | None:
        """Take a sandbox for a keeper; gives a descriptor that holds it, or ``None`` while a keeper still has it."""
        return _lock(self.path(sandbox_id) / ".lock")

    def close(self) -> None:
        """Let another server have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _lock(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _make_removable(path: Path) -> None:
    """Give folders that people's code has closed to everybody back to their owner."""
    for folder, names, _ in os.walk(path):
        for name in names:
            below = Path(folder, name)
            if not below.is_symlink():
                with suppress(OSError):
                    below.chmod(0o700)
