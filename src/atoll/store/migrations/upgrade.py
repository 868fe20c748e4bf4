"""Bring a database up to date: the same Alembic steps on start and on the command line of a developer."""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection as BlockingConnection
from sqlalchemy import text

from atoll.model.errors import StartRefusedError
from atoll.store.connection import Connection

# Any number that no other program takes for its own locks in the same database.
_ADVISORY_LOCK = 0x61746F6C6C


class DatabaseTooNewError(StartRefusedError):
    """A newer program brought the database to where this one does not know it."""


async def upgrade(connection: Connection) -> None:
    """Apply the missing steps inside the open transaction; all of them, or none when one fails.

    Raises ``DatabaseTooNewError``.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
    await connection.run_sync(_upgrade)


def known_revisions() -> frozenset[str]:
    """Give the revisions that this program can open."""
    return frozenset(step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions())


def _upgrade(connection: BlockingConnection) -> None:
    found = MigrationContext.configure(connection).get_current_heads()
    unknown = set(found) - known_revisions()
    if unknown:
        raise DatabaseTooNewError(
            f"The database is at revision {', '.join(sorted(unknown))}, which a newer Atoll made and this one does not "
            "know. Nothing was changed. Start that version again, or restore a backup from before the upgrade."
        )
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "atoll.store:migrations")
    return config
