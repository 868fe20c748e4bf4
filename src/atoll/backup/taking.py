"""Taking a backup."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from atoll import __version__
from atoll.backup import database_copy, sparse_file
from atoll.backup.errors import BackupError
from atoll.backup.manifest import Entry, Manifest, Owner
from atoll.backup.sparse_file import Advance
from atoll.model.ids import SandboxId, is_id
from atoll.runtime.contract import RuntimeFailure, SandboxNotFoundError
from atoll.runtime.oci import record
from atoll.runtime.oci.disk import DISK_NAME
from atoll.supervisor.hold import Held, holding

DATABASE: Final = "atoll.db"
_ALONE: Final = ("database-id", "api-key", "vault-key")
_LARGE_BYTES: Final = 64 << 20
_MOVES_MAX: Final = 3
_HOLDS_MAX: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is copied. ``supervisor_socket`` is ``None`` when nothing runs, ``database`` when it is elsewhere.

    ``images_dir`` is ``None`` when images are not to be copied.
    """

    data_dir: Path
    sandboxes_dir: Path
    blobs_dir: Path
    database: Path | None
    images_dir: Path | None
    supervisor_socket: Path | None


@dataclass(slots=True)
class Taken:
    """What became of it: counts, and the sandboxes whose disks could not be held still."""

    containers: int = 0
    files: int = 0
    deleted_meanwhile: int = 0
    restless: list[str] = field(default_factory=list)


def size_bytes(source: Source) -> int:
    """Give about how much there is to copy."""
    disks = source.sandboxes_dir.glob(f"sbx_*/{DISK_NAME}")
    return sum(_size_of(path) for path in (*disks, *source.blobs_dir.iterdir()))


def take(source: Source, target: Path, advance: Advance) -> Taken:
    """Copy everything into ``target``, a folder that is there and empty. Raises ``BackupError``, ``OSError``."""
    return _Taking(source, target, advance).run()


class _Taking:
    def __init__(self, source: Source, target: Path, advance: Advance) -> None:
        self._source = source
        self._target = target
        self._advance = advance
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
        if self._source.images_dir is not None:
            self._copy_images(self._source.images_dir)
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
        return database_copy.take(self._source.database, self._target / DATABASE)

    def _named(self, contents: database_copy.Contents) -> None:
        """Copy what the database's copy names, and take out of it what was deleted meanwhile."""
        assert self._source.database is not None  # noqa: S101 - or there were no contents
        gone_files = [name for name in contents.files if not self._blob(name)]
        gone, moved = [], []
        for container_id, sandbox_id in contents.sandboxes.items():
            found = self._sandbox_of(container_id, sandbox_id)
            if found is None:
                gone.append(container_id)
            elif found != sandbox_id:
                moved.append((container_id, found))
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
                self._taken.containers += self._sandbox(SandboxId(folder.name))

    def _sandbox_of(self, container_id: str, sandbox_id: str) -> str | None:
        """Copy a container's sandbox, wherever it stands by now; ``None`` when the container was deleted."""
        assert self._source.database is not None  # noqa: S101 - whoever calls read it
        for _ in range(_MOVES_MAX):
            if self._sandbox(SandboxId(sandbox_id)):
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
            digest = sparse_file.copy(source, target, self._advance)
        except FileNotFoundError:
            return False
        status = source.stat()
        self._files[name] = Entry(digest, status.st_mode & 0o777, "root" if status.st_uid == 0 else "server")
        return True

    def _sandbox(self, sandbox_id: SandboxId) -> bool:
        """Copy a sandbox's record and disk; ``False`` when it is gone."""
        folder = self._source.sandboxes_dir / sandbox_id
        target = self._target / "sandboxes" / sandbox_id
        target.mkdir(mode=0o700, parents=True)
        try:
            kept = self._held_copy(sandbox_id, folder, target)
        except (FileNotFoundError, SandboxNotFoundError):
            for path in target.iterdir():
                path.unlink()
            target.rmdir()
            return False
        self._images.add(kept.image_id)
        for name in (record.RECORD_NAME, DISK_NAME):
            self._note(f"sandboxes/{sandbox_id}/{name}", target / name, None)
        return True

    def _held_copy(self, sandbox_id: SandboxId, folder: Path, target: Path) -> record.Record:
        disk, copy = folder / DISK_NAME, target / DISK_NAME
        if _size_of(disk) > _LARGE_BYTES and not sparse_file.clone(disk, copy):
            sparse_file.bring_up_to_date(disk, copy, self._advance)  # most of it before anybody has to wait
        for _ in range(_HOLDS_MAX):
            with self._holding(sandbox_id) as held:
                kept = record.read(folder)
                if kept is None:
                    raise FileNotFoundError(folder)
                record.write(target, kept)
                if not sparse_file.clone(disk, copy):
                    sparse_file.bring_up_to_date(disk, copy, self._advance)
                if held is None or held.has_lasted():
                    if held is not None and not held.is_still:
                        self._taken.restless.append(sandbox_id)
                    return kept
        raise BackupError(
            f"The disk of {sandbox_id} could not be held still for long enough to be copied, {_HOLDS_MAX} times. "
            "Is the server restarting, or the disk slow?"
        )

    @contextmanager
    def _holding(self, sandbox_id: SandboxId) -> Iterator[Held | None]:
        if self._source.supervisor_socket is None:
            with nullcontext():
                yield None
            return
        try:
            with holding(self._source.supervisor_socket, sandbox_id) as held:
                yield held
        except SandboxNotFoundError:
            raise
        except RuntimeFailure as error:
            raise BackupError(f"The disk of {sandbox_id} cannot be copied: {error}.") from error

    def _note(self, name: str, copy: Path, original: Path | None) -> None:
        """Note a copy that is finished; what has no original that counts is root's."""
        copy.chmod(0o600)
        owner: Owner = "root" if original is None or original.stat().st_uid == 0 else "server"
        self._files[name] = Entry(sparse_file.digest_of(copy, lambda _: None), 0o600, owner)

    def _copy_images(self, images_dir: Path) -> None:
        target = self._target / "images"
        for image_id in sorted(self._images):
            if (images_dir / image_id).is_dir():
                target.mkdir(mode=0o711, exist_ok=True)
                copy_tree(images_dir / image_id, target)


def copy_tree(folder: Path, into: Path) -> None:
    """Copy an image as it is, owners, links and all. Raises ``BackupError``."""
    done = subprocess.run(
        ["cp", "--archive", "--reflink=auto", "--one-file-system", "--", str(folder), str(into)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BackupError(f"The image {folder} cannot be copied: {done.stderr.strip()[:500]}")


def _size_of(path: Path) -> int:
    try:
        return sparse_file.written_bytes(path)
    except FileNotFoundError:  # deleted since it was listed
        return 0
