"""A database that is open, and pieces of work done on it.

SQLite (``sqlite``): write-ahead log, every commit synced to disk, one writer, in the order they came. PostgreSQL
(``served``): its own defaults. Work once begun runs to its end, also when the one who waits for it is cancelled: a row
is then either there or not, never "perhaps".
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from sqlalchemy import make_url

from atoll.store.connection import Work
from atoll.store.migrations.upgrade import upgrade
from atoll.store.served import open_served
from atoll.store.sqlite import open_sqlite

T = TypeVar("T")


class Database(Protocol):
    """Runs work on connections; give it functions of the modules beside it."""

    async def read(self, work: Work[T]) -> T:
        """Do reading work of one statement that finds a few rows by an index; several are not a snapshot.

        The event loop may stand still meanwhile: what can grow longer than a page is for ``scan``.
        """
        ...

    async def scan(self, work: Work[T]) -> T:
        """Do reading work whose length grows with what there is; else as ``read``."""
        ...

    async def write(self, work: Work[T]) -> T:
        """Do work in a transaction: all of it, or nothing when it raises."""
        ...

    async def aclose(self) -> None:
        """Finish what was begun and close."""
        ...


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """Open the database at an SQLAlchemy URL, bring its tables up to date, and close it at the end.

    Raises ``ValueError`` for one that cannot be a file.
    """
    parsed = make_url(url)
    database: Database = open_sqlite(parsed) if parsed.get_backend_name() == "sqlite" else open_served(parsed)
    try:
        await database.write(upgrade)
        yield database
    finally:
        await database.aclose()
