"""Bringing a backup back, into a data folder that is empty."""

import errno
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from atoll.backup import database_copy, sparse_file
from atoll.backup.errors import BackupError
from atoll.backup.image_copy import copy_image
from atoll.backup.manifest import Entry, Manifest
from atoll.backup.sparse_file import Advance
from atoll.backup.taking import DATABASE

_BESIDE: Final = ("-wal", "-shm", "-journal", ".coming")
_MAY_BE_THERE: Final = frozenset({"atoll.lock", "blobs", "images", "lost+found", "run", "sandboxes"})


@dataclass(frozen=True, slots=True)
class Places:
    """Where it all goes; ``database`` is ``None`` when it is elsewhere. ``images_from`` is where images are besides."""

    data_dir: Path
    images_dir: Path
    database: Path | None
    images_from: Path


@dataclass(frozen=True, slots=True)
class Owners:
    """User and group of the server; ``None`` leaves everything to whoever restores."""

    uid: int
    gid: int


def check_empty(data_dir: Path) -> None:
    """Refuse a folder that holds anything of a server's. Raises ``BackupError``."""
    if not data_dir.exists():
        return
    for path in data_dir.iterdir():
        is_nothing = path.name in _MAY_BE_THERE and (
            path.name in {"atoll.lock", "images"} or (path.is_dir() and not any(path.iterdir()))
        )
        if not is_nothing:
            raise BackupError(
                f"{data_dir} is not empty: {path.name} is there. A backup comes back into an empty folder only; name "
                "another one with --data-dir, or move this one away."
            )


def check_no_database(database: Path) -> None:
    """Refuse a place where there is a database already, or nothing to put it into. Raises ``BackupError``."""
    for path in (database, *(database.with_name(database.name + end) for end in _BESIDE)):
        if os.path.lexists(path):
            raise BackupError(f"{path} is there, and a backup replaces no database: move it away.")
    if not database.parent.is_dir():
        raise BackupError(f"The folder of the database, {database.parent}, is not there: make it, for the server.")


def size_bytes(backup: Path, manifest: Manifest) -> int:
    """Give how much there is to copy."""
    return sum(sparse_file.written_bytes(backup / name) for name in manifest.files if (backup / name).is_file())


def torn_containers(backup: Path, manifest: Manifest) -> dict[str, str]:
    """Give whose disks the backup has torn copies of, with their sandboxes: containers where it has their names.

    Raises ``BackupError``.
    """
    if DATABASE in manifest.files:
        return database_copy.containers_on(backup / DATABASE, manifest.torn)
    return {sandbox_id: sandbox_id for sandbox_id in manifest.torn}


def restore(backup: Path, manifest: Manifest, places: Places, owners: Owners, advance: Advance) -> None:
    """Copy every file to its place, the database last, each checked on the way; when one is damaged nothing stays.

    Containers of whose disks there are only torn copies do not come back. The data folder has its folders and is empty,
    and there is no database. Raises ``BackupError``, ``OSError``.
    """
    torn = frozenset(manifest.torn)
    names = [name for name in manifest.files if torn.isdisjoint(name.split("/"))]
    bringing = _Bringing(owners, advance)
    try:
        for name in sorted(names):
            if name != DATABASE:
                bringing.file(backup / name, manifest.files[name], places.data_dir / name)
        for image_id in manifest.images:
            bringing.image(image_id, (backup / "images", places.images_from), places.images_dir)
        os.sync()
        if DATABASE in names and places.database is not None:
            _bring_database(bringing, backup, manifest, places.database)
            os.sync()
    except BaseException:
        bringing.take_back()
        raise


def _bring_database(bringing: "_Bringing", backup: Path, manifest: Manifest, target: Path) -> None:
    """Copy the database, which is at its place when it names nothing that did not come back."""
    coming = target.with_name(f"{target.name}.coming")
    bringing.file(backup / DATABASE, manifest.files[DATABASE], coming)
    if manifest.torn:
        database_copy.prune(coming, containers=database_copy.containers_on(coming, manifest.torn))
    bringing.made.append(target)
    coming.rename(target)


@dataclass(slots=True)
class _Bringing:
    """Copies files, and knows which it made."""

    owners: Owners
    advance: Advance
    made: list[Path] = field(default_factory=list)

    def file(self, source: Path, entry: Entry, target: Path) -> None:
        if not target.parent.exists():
            target.parent.mkdir(mode=0o700)
            self.made.append(target.parent)
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        self.made.append(target)
        try:
            digest = sparse_file.copy(source, target, self.advance).digest
        except FileNotFoundError as error:
            raise BackupError(f"The backup is not whole: {source} is missing. Nothing was restored.") from error
        if digest != entry.sha256:
            raise BackupError(f"The backup is damaged: {source} is not what was written. Nothing was restored.")
        target.chmod(entry.mode)
        if entry.owner == "server":
            os.chown(target, self.owners.uid, self.owners.gid)

    def image(self, image_id: str, sources: tuple[Path, ...], images_dir: Path) -> None:
        for folder in sources:
            if (folder / image_id).is_dir():
                target = copy_image(folder / image_id, images_dir)
                if target is not None:
                    self.made.append(target)
                return

    def take_back(self) -> None:
        for path in reversed(self.made):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
                path.with_name(f"{path.name}-journal").unlink(missing_ok=True)  # the database's
