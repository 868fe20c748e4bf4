"""``atoll backup`` and ``atoll restore``: a data folder's copy, taken while the server works, and its way back."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Final, NoReturn

import typer

from atoll.backup import restoring, room, taking
from atoll.backup.errors import BackupError
from atoll.backup.manifest import Manifest, read_manifest
from atoll.backup.taking import DATABASE, Source, Taken
from atoll.cli.failure import fail
from atoll.cli.progress import Progress
from atoll.cli.signal_handling import handling
from atoll.operate.folders import FolderError, prepare_folders
from atoll.operate.instance_lock import AlreadyRunningError, InstanceLock, running_instance
from atoll.operate.instance_record import OtherInstanceError, read_record
from atoll.operate.settings_options import with_settings
from atoll.operate.system_user import UserError, find_user
from atoll.settings import Loaded, Settings

_PLACES: Final = ("data_dir", "run_dir", "images_dir", "database_url", "user")
_SPARED: Final = ("disk_free_bytes_min",)
_NAMED_MAX: Final = 10


@with_settings((*_PLACES, *_SPARED))
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
    images_in: Annotated[
        Path | None,
        typer.Option(
            "--images-in", help="Keep images here, each once for all backups, not in FOLDER.", metavar="FOLDER"
        ),
    ] = None,
) -> None:
    """Copy the data folder while the server works. Database, uploaded files, containers' disks, keys, images.

    Each container's disk stands still while it is copied; whoever writes to it meanwhile waits. The exit code is 1 also
    when a disk could not be copied whole: then all the rest was, and is a backup.
    """
    settings = loaded.settings
    if without_images and images_in is not None:
        fail("--without-images and --images-in cannot go together.", code=2)
    try:
        _require_root()
        database = _database(settings, without_database=without_database)
        with _source(settings, database, images_in, with_images=not without_images) as source, _new(folder):
            taking.require_room(source, folder, spared_bytes=settings.disk_free_bytes_min)
            with Progress("Backing up", taking.size_bytes(source)) as progress:
                taken = taking.take(source, folder, progress.advance)
    except (BackupError, AlreadyRunningError, OtherInstanceError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or folder}: {error.strerror}. There is no backup: what was copied is removed again.")
    _say_taken(folder, taken)


@with_settings(_PLACES)
def restore(
    loaded: Loaded,
    *,
    folder: Annotated[Path, typer.Argument(help="A backup's folder.", metavar="FOLDER")],
    images_in: Annotated[
        Path | None,
        typer.Option(
            "--images-in",
            help="Where images are that FOLDER does not hold; without it, `images` beside FOLDER.",
            metavar="FOLDER",
        ),
    ] = None,
    without_torn: Annotated[
        bool,
        typer.Option("--without-torn", help="Leave out containers of whose disks the backup has torn copies only."),
    ] = False,
) -> None:
    """Bring a backup back into an empty data folder. Every file is checked on the way."""
    settings = loaded.settings
    try:
        _require_root()
        manifest = read_manifest(folder)
        _check_versions(folder, manifest)
        database = _database_to_be(settings, manifest)
        torn = _check_torn(folder, manifest, without_torn=without_torn)
        _require_quiet(settings.data_dir)
        restoring.check_empty(settings.data_dir)
        user = find_user(settings.user)
        prepare_folders(settings, user)
        if database is not None:
            restoring.check_no_database(database)
        lock = InstanceLock(settings.data_dir)
        lock.take()
        owners = restoring.Owners(user.uid, user.gid)
        size_bytes = restoring.size_bytes(folder, manifest)
        room.require_room(settings.data_dir, size_bytes, spared_bytes=0)
        images_from = folder.absolute().parent / "images" if images_in is None else images_in
        places = restoring.Places(settings.data_dir, settings.images_dir, database, images_from)
        with Progress("Restoring", size_bytes) as progress, _ends_in_order():
            restoring.restore(folder, manifest, places, owners, progress.advance)
        lock.release()
    except (BackupError, AlreadyRunningError, FolderError, UserError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or settings.data_dir}: {error.strerror}. Nothing was restored.")
    _say_restored(settings, manifest, torn)


def _say_taken(folder: Path, taken: Taken) -> None:
    meanwhile = f" ({taken.deleted_meanwhile} deleted meanwhile)" if taken.deleted_meanwhile else ""
    typer.echo(f"{folder}: containers {taken.containers}, uploaded files {taken.files}{meanwhile}.")
    if taken.images_missing:
        missing = ", ".join(taken.images_missing)
        typer.echo(f"Not in it: {missing}. Without their image containers cannot start.", err=True)
    if taken.torn:
        for whose, torn in taken.torn.items():
            typer.echo(f"Not whole: the disk of {whose}: {torn.reason}. What there is of it: {torn.path}", err=True)
        fail(
            f"{len(taken.torn)} of {taken.containers} containers could not be copied whole; all else was. Repeat it "
            "when they do less, or after `atoll down`: then nothing moves, however large."
        )


def _say_restored(settings: Settings, manifest: Manifest, torn: dict[str, str]) -> None:
    typer.echo(f"{settings.data_dir} is as it was at {manifest.made_at}. Start the server on it.")
    if torn:
        typer.echo(f"Left out, their disks being torn in the backup: {', '.join(torn)}.", err=True)
    if manifest.database_revision is None:
        typer.echo("The database is not in this backup: bring it back by its own means before you start.", err=True)
        if torn:
            typer.echo(
                "In it, delete the rows of `containers` with these `sandbox_id`, or they come back empty.", err=True
            )
    for image_id in manifest.images:
        if not (settings.images_dir / image_id).is_dir():
            typer.echo(
                f"The image {image_id} is not in {settings.images_dir}: containers on it cannot start.", err=True
            )


def _check_torn(folder: Path, manifest: Manifest, *, without_torn: bool) -> dict[str, str]:
    """Give what is left out: containers with their sandboxes. Raises ``BackupError`` unless that was asked for."""
    torn = restoring.torn_containers(folder, manifest)
    if torn and not without_torn:
        named = ", ".join(list(torn)[:_NAMED_MAX]) + (", …" if len(torn) > _NAMED_MAX else "")
        raise BackupError(
            f"{folder} has only torn copies of the disks of {len(torn)} containers: {named}. They were written to "
            "while they were copied. Nothing was restored. With --without-torn all else comes back, without these "
            "containers; how to get files out of a torn copy by hand is in the operating guide. An earlier backup may "
            "have them whole."
        )
    return torn


def _require_quiet(data_dir: Path) -> None:
    instance = running_instance(data_dir)
    if instance is not None:
        raise AlreadyRunningError(data_dir, instance)


def _require_root() -> None:
    if os.geteuid() != 0:
        raise BackupError("Containers' disks are root's: run this with sudo.")


def _database(settings: Settings, *, without_database: bool) -> Path | None:
    if without_database:
        return None
    database, kind = _sqlite_file(settings)
    if database is None:
        raise BackupError(
            f"The database is {kind}, which has its own means: first `pg_dump --format=custom`, and "
            "right after it `atoll backup --without-database`. In this order nothing is lost."
        )
    return database


def _database_to_be(settings: Settings, manifest: Manifest) -> Path | None:
    """Give where the backup's database goes; ``None`` when it has none. Raises ``BackupError``."""
    if DATABASE not in manifest.files:
        return None
    database, kind = _sqlite_file(settings)
    if database is None:
        raise BackupError(
            f"The backup has a database of its own, in a file, and database_url names another kind "
            f"({kind}), where it cannot go. Take database_url out of the settings, or bring back a "
            "backup of that kind."
        )
    return database


def _sqlite_file(settings: Settings) -> tuple[Path | None, str]:
    """Give the file that is the database, ``None`` where it is none, and the database's kind."""
    from sqlalchemy import make_url  # noqa: PLC0415 - slow to load, and every command loads this module

    url = make_url(settings.database_url)
    kind = url.get_backend_name()
    return Path(url.database) if kind == "sqlite" and url.database else None, kind


@contextmanager
def _new(folder: Path) -> Iterator[None]:
    """Make the folder; what the body does not finish is removed again."""
    is_new = not folder.exists()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise BackupError(f"{folder} is not empty; a backup needs a folder of its own.")
    folder.chmod(0o700)  # keys and people's files are in it
    try:
        with _ends_in_order():
            yield
    except BaseException:
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        if is_new:
            folder.rmdir()
        raise


@contextmanager
def _ends_in_order() -> Iterator[None]:
    """Let whoever ends this, or closes its terminal, find nothing half done either."""

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    ending = (signal.SIGTERM, signal.SIGHUP)
    with handling([number for number in ending if signal.getsignal(number) != signal.SIG_IGN], end):
        yield


@contextmanager
def _source(
    settings: Settings, database: Path | None, images_in: Path | None, *, with_images: bool
) -> Iterator[Source]:
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
            images_target=images_in,
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
