"""Taking a backup."""

import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from atoll import __version__
from atoll.backup import database_copy, room, sparse_file
from atoll.backup.disk_copy import DiskCopier
from atoll.backup.errors import BackupError
from atoll.backup.image_copy import copy_image
from atoll.backup.manifest import TORN_NAME, Entry, Manifest, Owner
from atoll.backup.sparse_file import Advance
from atoll.backup.stillness import Pause
from atoll.images.image import read_image
from atoll.model.ids import SandboxId, is_id
from atoll.runtime.contract import SandboxNotFoundError
from atoll.runtime.oci import record
from atoll.runtime.oci.disk import DISK_NAME

DATABASE: Final = "atoll.db"
_BELONGING: Final = "database-id"
_ALONE: Final = (_BELONGING, "api-key", "vault-key")
_MOVES_MAX: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is copied. ``supervisor_socket`` is ``None`` when nothing runs, ``database`` when it is elsewhere.

    ``images_dir`` is ``None`` when images are not to be copied; else they go to ``images_target``, a folder that is
    shared with other backups, or to the backup itself.
    """

    data_dir: Path
    sandboxes_dir: Path
    blobs_dir: Path
    database: Path | None
    images_dir: Path | None
    images_target: Path | None
    supervisor_socket: Path | None


@dataclass(frozen=True, slots=True)
class Torn:
    """A copy that is not of one moment, and why."""

    sandbox_id: SandboxId
    path: Path
    reason: str


@dataclass(slots=True)
class Taken:
    """What became of it: counts, and of whose disks there are only torn copies.

    ``torn`` is by container, or by sandbox where the database is elsewhere; ``images_missing`` are those that
    containers stand on and that the backup lacks.
    """

    containers: int = 0
    files: int = 0
    deleted_meanwhile: int = 0
    torn: dict[str, Torn] = field(default_factory=dict)
    images_missing: tuple[str, ...] = ()


def size_bytes(source: Source) -> int:
    """Give about how much there is to copy, images aside."""
    disks = source.sandboxes_dir.glob(f"sbx_*/{DISK_NAME}")
    database = () if source.database is None else (source.database,)
    return sum(_size_of(path) for path in (*disks, *source.blobs_dir.iterdir(), *database))


def require_room(source: Source, target: Path, *, spared_bytes: int) -> None:
    """Refuse a backup that would not fit, or leave the server's disk less than ``spared_bytes``.

    Raises ``BackupError``, ``OSError``.
    """
    is_same_disk = target.stat().st_dev == source.data_dir.stat().st_dev
    if is_same_disk and room.can_share_blocks(source.data_dir, target):
        return  # next to nothing
    needed = size_bytes(source) + _images_bytes(source)
    room.require_room(target, needed, spared_bytes=spared_bytes if is_same_disk else 0)


def take(source: Source, target: Path, advance: Advance, pause: Pause = time.sleep) -> Taken:
    """Copy everything into ``target``, a folder that is there and empty. Raises ``BackupError``, ``OSError``."""
    return _Taking(source, target, advance, pause).run()


class _Taking:
    def __init__(self, source: Source, target: Path, advance: Advance, pause: Pause) -> None:
        self._source = source
        self._target = target
        self._advance = advance
        self._disks = DiskCopier(source.supervisor_socket, advance, pause)
        self._files: dict[str, Entry] = {}
        self._images: set[str] = set()
        self._taken = Taken()

    def run(self) -> Taken:
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        contents = self._database()
        for name in _ALONE:
            if (self._source.data_dir / name).exists():
                self._copy(name, self._source.data_dir / name)
        if contents is None:
            self._everything()
        else:
            self._named(contents)
        self._taken.images_missing = tuple(image for image in sorted(self._images) if not self._image(image))
        manifest = Manifest(
            atoll=__version__,
            made_at=made_at,
            database_revision=None if contents is None else contents.revision,
            images=tuple(sorted(self._images)),
            files=self._files,
        )
        os.sync()
        manifest.write(self._target)
        os.sync()
        return self._taken

    def _database(self) -> database_copy.Contents | None:
        if self._source.database is None:
            return None
        contents = database_copy.take(self._source.database, self._target / DATABASE)
        belonging = self._source.data_dir / _BELONGING
        known = belonging.read_text("ascii").strip() if belonging.exists() else None
        if None not in {known, contents.identity} and known != contents.identity:
            raise BackupError(
                f"The database {self._source.database} is not the one that the server on {self._source.data_dir} uses: "
                "name that one, as the server's settings do (database_url)."
            )
        return contents

    def _named(self, contents: database_copy.Contents) -> None:
        """Copy what the database's copy names, and take out of it what was deleted meanwhile."""
        assert self._source.database is not None  # noqa: S101 - or there were no contents
        gone_files = [name for name in contents.files if not self._blob(name)]
        found = {container: self._sandbox_of(container, sandbox) for container, sandbox in contents.sandboxes.items()}
        for container_id, sandbox_id in self._drop_torn().items():
            found[container_id] = self._sandbox_of(container_id, sandbox_id)
        gone = [container for container, sandbox in found.items() if sandbox is None]
        moved = [
            (container, new) for container, new in found.items() if new not in {None, contents.sandboxes[container]}
        ]
        copy = self._target / DATABASE
        database_copy.prune(copy, containers=gone, files=gone_files, moved=moved)
        self._note(DATABASE, copy, self._source.database)
        self._taken.containers = len(contents.sandboxes) - len(gone)
        self._taken.files = len(contents.files) - len(gone_files)
        self._taken.deleted_meanwhile = len(gone) + len(gone_files)

    def _everything(self) -> None:
        """Copy all there is: the database is somebody else's to copy, and was copied before."""
        for path in sorted(self._source.blobs_dir.iterdir()):
            self._taken.files += is_id("file-", path.name) and self._blob(path.name)
        for folder in sorted(self._source.sandboxes_dir.iterdir()):
            if is_id("sbx_", folder.name):
                self._taken.containers += self._sandbox(SandboxId(folder.name), folder.name)
        for sandbox_id in self._drop_torn().values():
            self._taken.containers += self._sandbox(sandbox_id, sandbox_id) - 1

    def _drop_torn(self) -> dict[str, SandboxId]:
        """Remove torn copies, which are to be tried once more: by now those containers may rest."""
        dropped = {whose: torn.sandbox_id for whose, torn in self._taken.torn.items()}
        self._taken.torn.clear()
        for sandbox_id in dropped.values():
            shutil.rmtree(self._target / "sandboxes" / sandbox_id)
            for name in (record.RECORD_NAME, TORN_NAME):
                self._files.pop(f"sandboxes/{sandbox_id}/{name}", None)
        return dropped

    def _sandbox_of(self, container_id: str, sandbox_id: str) -> str | None:
        """Copy a container's sandbox, wherever it stands by now; ``None`` when the container was deleted."""
        assert self._source.database is not None  # noqa: S101 - whoever calls read it
        for _ in range(_MOVES_MAX):
            if self._sandbox(SandboxId(sandbox_id), container_id):
                return sandbox_id
            newer = database_copy.sandbox_of(self._source.database, container_id)
            if newer is None:
                return None
            if newer == sandbox_id:
                return sandbox_id  # its files were lost before: the server makes it a new one when it is used
            sandbox_id = newer
        raise BackupError(f"The sandbox of {container_id} is replaced again and again; see the server's log.")

    def _blob(self, name: str) -> bool:
        if not is_id("file-", name):
            raise BackupError(f"{name!r} in the database is no file's id.")
        return self._copy(f"blobs/{name}", self._source.blobs_dir / name)

    def _copy(self, name: str, source: Path) -> bool:
        """Copy a file that does not change; ``False`` when it is gone."""
        target = self._target / name
        target.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            copied = sparse_file.copy(source, target, self._advance)
        except FileNotFoundError:
            return False
        owner: Owner = "root" if copied.status.st_uid == 0 else "server"
        self._files[name] = Entry(copied.digest, copied.status.st_mode & 0o777, owner)
        return True

    def _sandbox(self, sandbox_id: SandboxId, whose: str) -> bool:
        """Copy a sandbox's record and disk; ``False`` when it is gone."""
        folder = self._source.sandboxes_dir / sandbox_id
        target = self._target / "sandboxes" / sandbox_id
        target.mkdir(mode=0o700, parents=True)
        try:
            kept, is_whole = self._disks.copy(sandbox_id, folder, target)
        except (FileNotFoundError, SandboxNotFoundError):
            for path in target.iterdir():
                path.unlink()
            target.rmdir()
            return False
        if kept is not None:
            self._images.add(kept.image_id)
            self._note(f"sandboxes/{sandbox_id}/{record.RECORD_NAME}", target / record.RECORD_NAME, None)
        if not is_whole:
            (target / DISK_NAME).rename(target / TORN_NAME)
            self._taken.torn[whose] = Torn(
                sandbox_id,
                self._target / "sandboxes" / sandbox_id / TORN_NAME,
                "its record is damaged" if kept is None else "it was written to all the time",
            )
        name = DISK_NAME if is_whole else TORN_NAME
        self._note(f"sandboxes/{sandbox_id}/{name}", target / name, None)
        return True

    def _note(self, name: str, copy: Path, original: Path | None) -> None:
        """Note a copy that is finished; what has no original that counts is root's."""
        copy.chmod(0o600)
        owner: Owner = "root" if original is None or original.stat().st_uid == 0 else "server"
        self._files[name] = Entry(sparse_file.digest_of(copy, lambda _: None), 0o600, owner)

    def _image(self, image_id: str) -> bool:
        """Copy an image unless it is there; ``False`` when there is none, or none is wanted."""
        target = self._source.images_target or self._target / "images"
        if self._source.images_dir is None or not (self._source.images_dir / image_id).is_dir():
            return False
        target.mkdir(mode=0o700, exist_ok=True)
        copy_image(self._source.images_dir / image_id, target)
        return True


def _images_bytes(source: Source) -> int:
    """Give how large the images are that have to be copied."""
    if source.images_dir is None:
        return 0
    needed = set()
    for folder in source.sandboxes_dir.glob("sbx_*"):
        with suppress(FileNotFoundError, record.RecordDamagedError):
            kept = record.read(folder)
            if kept is not None and not (source.images_target and (source.images_target / kept.image_id).exists()):
                needed.add(kept.image_id)
    found = [read_image(source.images_dir / image_id) for image_id in needed]
    return sum(image.size_bytes for image in found if image is not None)


def _size_of(path: Path) -> int:
    try:
        return sparse_file.written_bytes(path)
    except FileNotFoundError:  # deleted since it was listed
        return 0
