"""``atoll backup`` and ``atoll restore``: a data folder's copy, taken while the server works, and its way back."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from atoll.backup import restoring, taking
from atoll.backup.errors import BackupError
from atoll.backup.manifest import Manifest, read_manifest
from atoll.backup.taking import Source
from atoll.cli.failure import fail
from atoll.cli.progress import Progress
from atoll.operate.folders import FolderError, prepare_folders
from atoll.operate.instance_lock import AlreadyRunningError, InstanceLock, running_instance
from atoll.operate.instance_record import OtherInstanceError, read_record
from atoll.operate.settings_options import with_settings
from atoll.operate.system_user import UserError, find_user
from atoll.settings import Loaded, Settings

_PLACES = ("data_dir", "run_dir", "images_dir", "database_url", "user")


@with_settings(_PLACES)
def backup(
    loaded: Loaded,
    *,
    folder: Annotated[Path, typer.Argument(help="A new or empty folder that the backup becomes.", metavar="FOLDER")],
    without_database: Annotated[
        bool, typer.Option("--without-database", help="The database was copied before this, by its own means.")
    ] = False,
    without_images: Annotated[
        bool, typer.Option("--without-images", help="Leave out the images that containers stand on.")
    ] = False,
) -> None:
    """Copy the data folder while the server works. Database, uploaded files, containers' disks, keys, images.

    Each container's disk stands still while it is copied; whoever writes to it meanwhile waits.
    """
    settings = loaded.settings
    try:
        _require_root()
        database = _database(settings, without_database=without_database)
        _make_target(folder)
        with (
            _source(settings, database, with_images=not without_images) as source,
            Progress("Backing up", taking.size_bytes(source)) as progress,
        ):
            taken = taking.take(source, folder, progress.advance)
    except (BackupError, AlreadyRunningError, OtherInstanceError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or folder}: {error.strerror}. The backup is not whole; remove {folder}.")
    for sandbox_id in taken.restless:
        typer.echo(
            f"The disk of {sandbox_id} could not be held still: what was just written in it may be torn.", err=True
        )
    meanwhile = f" ({taken.deleted_meanwhile} deleted meanwhile)" if taken.deleted_meanwhile else ""
    typer.echo(f"{folder}: containers {taken.containers}, uploaded files {taken.files}{meanwhile}.")


@with_settings(_PLACES)
def restore(
    loaded: Loaded, *, folder: Annotated[Path, typer.Argument(help="A backup's folder.", metavar="FOLDER")]
) -> None:
    """Bring a backup back into an empty data folder. Every file is checked on the way."""
    settings = loaded.settings
    try:
        _require_root()
        manifest = read_manifest(folder)
        _check_versions(folder, manifest)
        _require_quiet(settings.data_dir)
        restoring.check_empty(settings.data_dir)
        user = find_user(settings.user)
        prepare_folders(settings, user)
        lock = InstanceLock(settings.data_dir)
        lock.take()
        owners = restoring.Owners(user.uid, user.gid)
        with Progress("Restoring", restoring.size_bytes(folder, manifest)) as progress:
            restoring.restore(folder, manifest, settings.data_dir, owners, progress.advance)
        lock.release()
    except (BackupError, AlreadyRunningError, FolderError, UserError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or settings.data_dir}: {error.strerror}. Nothing was restored.")
    typer.echo(f"{settings.data_dir} is as it was at {manifest.made_at}. Start the server on it.")
    if manifest.database_revision is None:
        typer.echo("The database is not in this backup: bring it back by its own means before you start.", err=True)
    for image_id in manifest.images:
        if not (settings.images_dir / image_id).is_dir():
            typer.echo(
                f"The image {image_id} is not in {settings.images_dir}: containers on it cannot start.", err=True
            )


def _require_quiet(data_dir: Path) -> None:
    instance = running_instance(data_dir)
    if instance is not None:
        raise AlreadyRunningError(data_dir, instance)


def _require_root() -> None:
    if os.geteuid() != 0:
        raise BackupError("Containers' disks are root's: run this with sudo.")


def _database(settings: Settings, *, without_database: bool) -> Path | None:
    from sqlalchemy import make_url  # noqa: PLC0415 - slow to load, and every command loads this module

    url = make_url(settings.database_url)
    if without_database:
        return None
    if url.get_backend_name() != "sqlite" or not url.database:
        raise BackupError(
            f"The database is {url.get_backend_name()}, which has its own means: first `pg_dump --format=custom`, and "
            "right after it `atoll backup --without-database`. In this order nothing is lost."
        )
    return Path(url.database)


def _make_target(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise BackupError(f"{folder} is not empty; a backup needs a folder of its own.")
    folder.chmod(0o700)  # keys and people's files are in it


@contextmanager
def _source(settings: Settings, database: Path | None, *, with_images: bool) -> Iterator[Source]:
    """Give what is copied: of the server that runs, or of a folder on which nothing starts meanwhile."""
    kept = read_record(settings.data_dir)
    if kept is None:
        raise BackupError(f"{settings.data_dir} is no data folder: no server was ever started on it.")
    if kept.runtime != "oci":
        raise BackupError("Containers without walls are plain folders: stop the server and copy its data folder.")
    settings = kept.applied_to(settings)
    lock: InstanceLock | None = None
    if running_instance(settings.data_dir) is None:
        lock = InstanceLock(settings.data_dir)
        lock.take()
        if Path(kept.run_dir, "running").is_dir() and any(Path(kept.run_dir, "running").iterdir()):
            raise BackupError("Sandboxes run, but no server. Start it, or end them with `atoll down`; then try again.")
    try:
        yield Source(
            data_dir=settings.data_dir,
            sandboxes_dir=settings.sandboxes_dir,
            blobs_dir=settings.blobs_dir,
            database=database,
            images_dir=settings.images_dir if with_images else None,
            supervisor_socket=None if lock is not None else settings.supervisor_socket_path,
        )
    finally:
        if lock is not None:
            lock.release()


def _check_versions(folder: Path, manifest: Manifest) -> None:
    from atoll.store.migrations.steps import known_revisions  # noqa: PLC0415 - slow to load, as above

    revision = manifest.database_revision
    if revision is not None and revision not in known_revisions():
        raise BackupError(
            f"{folder} was made by a newer Atoll ({manifest.atoll}), whose database this one does not know. Bring it "
            "back with that version or a newer one."
        )
