"""The copy of SQLite's file: taken at one moment, while others write, by SQLite's own means."""

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atoll.backup.errors import BackupError

_BUSY_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Contents:
    """What the copy names: sandboxes by their containers, uploaded files, the revision of its tables, its own id."""

    sandboxes: dict[str, str]
    files: tuple[str, ...]
    revision: str
    identity: str | None


def take(source: Path, target: Path) -> Contents:
    """Copy the database. Raises ``BackupError``."""
    target.touch(mode=0o600)
    with (
        _in_words(f"The database {source} cannot be copied"),
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_S)) as live,
        closing(sqlite3.connect(target, isolation_level=None)) as copy,
    ):
        live.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, with nothing beside it
        return _contents(copy)


def sandbox_of(database: Path, container_id: str) -> str | None:
    """Give the sandbox that a container stands on now; ``None`` when it was deleted or has expired.

    Raises ``BackupError``.
    """
    with (
        _in_words(f"The database {database} cannot be read"),
        closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_S)) as live,
    ):
        row = live.execute("SELECT sandbox_id FROM containers WHERE id = ?", (container_id,)).fetchone()
        return None if row is None or row[0] is None else str(row[0])


def containers_on(copy: Path, sandboxes: Collection[str]) -> dict[str, str]:
    """Give the containers that stand on some sandboxes, with these. Raises ``BackupError``."""
    with (
        _in_words(f"The database {copy} cannot be read"),
        closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", uri=True)) as connection,
    ):
        rows = connection.execute("SELECT id, sandbox_id FROM containers WHERE sandbox_id IS NOT NULL").fetchall()
        return {str(container): str(sandbox) for container, sandbox in rows if sandbox in sandboxes}


def prune(
    copy: Path,
    *,
    containers: Collection[str],
    files: Collection[str] = (),
    moved: Collection[tuple[str, str]] = (),
) -> None:
    """Take out rows; ``moved`` are containers with the sandboxes they stand on since. Raises ``BackupError``."""
    with (
        _in_words(f"The copy of the database, {copy}, cannot be changed"),
        closing(sqlite3.connect(copy, isolation_level=None)) as connection,
    ):
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("BEGIN")
        connection.executemany("DELETE FROM containers WHERE id = ?", [(name,) for name in containers])
        connection.executemany("DELETE FROM files WHERE id = ?", [(name,) for name in files])
        connection.executemany(
            "UPDATE containers SET sandbox_id = ? WHERE id = ?", [(sandbox, container) for container, sandbox in moved]
        )
        connection.execute("COMMIT")
        if connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise BackupError(f"The copy of the database, {copy}, is damaged; is the disk sound?")


@contextmanager
def _in_words(what_failed: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:  # a full disk, for one
        raise BackupError(f"{what_failed}: {error}.") from error


def _contents(copy: sqlite3.Connection) -> Contents:
    sandboxes = copy.execute("SELECT id, sandbox_id FROM containers WHERE sandbox_id IS NOT NULL").fetchall()
    files = copy.execute("SELECT id FROM files").fetchall()
    (revision,) = copy.execute("SELECT version_num FROM alembic_version").fetchone()
    return Contents(
        {str(container): str(sandbox) for container, sandbox in sandboxes},
        tuple(str(name) for (name,) in files),
        str(revision),
        _identity(copy),
    )


def _identity(copy: sqlite3.Connection) -> str | None:
    """Give the database's own id; an older one, or one that no server has used yet, has none."""
    if copy.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'identity'").fetchone() is None:
        return None
    row = copy.execute("SELECT id FROM identity").fetchone()
    return None if row is None else str(row[0])
