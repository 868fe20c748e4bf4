"""Bring a database up to date: the same Alembic steps on start and on the command line of a developer."""

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection as BlockingConnection
from sqlalchemy import text

from atoll.store.connection import Connection

# Any number that no other program takes for its own locks in the same database.
_ADVISORY_LOCK = 0x61746F6C6C


async def upgrade(connection: Connection) -> None:
    """Apply the missing steps inside the open transaction; all of them, or none when one fails."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
    await connection.run_sync(_upgrade)


def _upgrade(connection: BlockingConnection) -> None:
    config = Config()
    config.set_main_option("script_location", "atoll.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
