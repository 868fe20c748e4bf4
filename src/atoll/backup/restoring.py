"""Bringing a backup back, into a data folder that is empty."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atoll.backup import sparse_file
from atoll.backup.errors import BackupError
from atoll.backup.manifest import Entry, Manifest
from atoll.backup.sparse_file import Advance
from atoll.backup.taking import DATABASE, copy_tree

_MAY_BE_THERE: Final = frozenset({"atoll.lock", "blobs", "images", "lost+found", "run", "sandboxes"})


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


def size_bytes(backup: Path, manifest: Manifest) -> int:
    """Give how much there is to copy."""
    return sum(sparse_file.written_bytes(backup / name) for name in manifest.files if (backup / name).is_file())


def restore(backup: Path, manifest: Manifest, data_dir: Path, owners: Owners, advance: Advance) -> None:
    """Copy every file to its place, the database last, each checked on the way; when one is damaged nothing stays.

    ``data_dir`` has its folders and is empty. Raises ``BackupError``, ``OSError``.
    """
    names = sorted(manifest.files, key=lambda name: (name == DATABASE, name))
    try:
        for name in names:
            _bring(backup / name, manifest.files[name], data_dir / name, owners, advance)
        for image_id in manifest.images:
            if (backup / "images" / image_id).is_dir() and not (data_dir / "images" / image_id).exists():
                _bring_image(backup / "images" / image_id, data_dir / "images")
        os.sync()
    except BaseException:
        _take_back(names, data_dir)
        raise


def _bring(source: Path, entry: Entry, target: Path, owners: Owners, advance: Advance) -> None:
    if not target.parent.exists():
        target.parent.mkdir(mode=0o700)
    try:
        digest = sparse_file.copy(source, target, advance)
    except FileNotFoundError as error:
        raise BackupError(f"The backup is not whole: {source} is missing.") from error
    if digest != entry.sha256:
        raise BackupError(f"The backup is damaged: {source} is not what was written. Nothing was restored.")
    target.chmod(entry.mode)
    if entry.owner == "server":
        os.chown(target, owners.uid, owners.gid)


def _bring_image(source: Path, images_dir: Path) -> None:
    """Copy an image, which is at its place when all of it has come."""
    # A link here would make another folder of this machine the root that containers stand on.
    if any(path.is_symlink() for path in (source.parent, source, source / "rootfs")):
        raise BackupError(f"The image {source} in the backup is a link. Nothing was restored.")
    coming = images_dir / ".coming"
    coming.mkdir(mode=0o700)
    try:
        copy_tree(source, coming)
        (coming / source.name).rename(images_dir / source.name)
    finally:
        shutil.rmtree(coming)


def _take_back(names: list[str], data_dir: Path) -> None:
    for name in names:
        target = data_dir / name
        target.unlink(missing_ok=True)
        if target.parent.parent == data_dir / "sandboxes":
            shutil.rmtree(target.parent, ignore_errors=True)
