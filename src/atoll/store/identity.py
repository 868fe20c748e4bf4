"""Which database this is: one row, made with the first start and never changed."""

from sqlalchemy import insert, select

from atoll.store.connection import Connection
from atoll.store.tables import identity as table


async def settle(connection: Connection, candidate: str) -> str:
    """Give the database's own id; a new database takes ``candidate``."""
    found: str | None = (await connection.execute(select(table.c.id))).scalar_one_or_none()
    if found is None:
        await connection.execute(insert(table).values(id=candidate))
    return found or candidate
