"""Bring a database up to date: the same steps on start and on the command line of a developer."""

from typing import Final

from sqlalchemy import Connection as BlockingConnection
from sqlalchemy import inspect, text

from atoll.store.connection import Connection

NEWEST: Final = "0002"
"""The revision that the last step leads to."""

# Any number that no other program takes for its own locks in the same database.
_ADVISORY_LOCK: Final = 0x61746F6C6C


async def upgrade(connection: Connection) -> None:
    """Apply the missing steps inside the open transaction; all of them, or none when one fails.

    Raises ``DatabaseTooNewError``.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
    await connection.run_sync(_upgrade)


def _upgrade(connection: BlockingConnection) -> None:
    if _revisions(connection) == [NEWEST]:
        return
    from atoll.store.migrations.steps import take_missing  # noqa: PLC0415 - slow to load, and mostly not needed

    take_missing(connection)


def _revisions(connection: BlockingConnection) -> list[str]:
    if not inspect(connection).has_table("alembic_version"):
        return []
    return list(connection.scalars(text("SELECT version_num FROM alembic_version")))
