"""A database that is open, and pieces of work done on it.

SQLite: write-ahead log, every commit synced to disk, one writer at a time in the order they came. PostgreSQL: its
own defaults. Work once begun runs to its end, also when the one who waits for it is cancelled: a row is then
either there or not, never "perhaps".
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import event, make_url
from sqlalchemy.engine import URL, Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from atoll.cancellation import finish
from atoll.store.migrations.upgrade import upgrade

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]

_BUSY_TIMEOUT_MS = 10_000
_WRITES = "atoll_writes"


class Database:
    """Runs work on connections; give it functions of the modules beside it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._one_writer: contextlib.AbstractAsyncContextManager[Any] = contextlib.nullcontext()
        if engine.dialect.name == "sqlite":
            # SQLite has one writer; a fair queue here is better than its own polling for the lock.
            self._one_writer = asyncio.Lock()
            self._reading = self._writing = engine
        else:
            self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")
            self._writing = engine

    @property
    def engine(self) -> AsyncEngine:
        """The engine below, for tests and for migrations."""
        return self._engine

    async def read(self, work: Work[T]) -> T:
        """Do reading work of one statement; several are not a snapshot."""
        return await finish(self._read(work))

    async def write(self, work: Work[T]) -> T:
        """Do work in one transaction: all of it, or nothing when it raises."""
        return await finish(self._write(work))

    async def _read(self, work: Work[T]) -> T:
        async with self._reading.connect() as connection:
            return await work(connection)

    async def _write(self, work: Work[T]) -> T:
        async with self._one_writer, self._writing.connect() as connection:
            await connection.execution_options(**{_WRITES: True})
            async with connection.begin():
                return await work(connection)


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """Open the database at an SQLAlchemy URL, bring its tables up to date, and close it at the end."""
    parsed = make_url(url)
    engine = _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _served(parsed)
    try:
        database = Database(engine)
        await database.write(upgrade)
        yield database
    finally:
        await engine.dispose()


def _served(url: URL) -> AsyncEngine:
    return create_async_engine(url, pool_pre_ping=True)


def _sqlite(url: URL) -> AsyncEngine:
    if not url.database or url.database == ":memory:":
        raise ValueError("an SQLite database needs a file: each connection in memory would be another database")
    # Keys' hashes and people's file names are nobody else's business; the -wal and -shm files follow this mode.
    os.close(os.open(url.database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    engine = create_async_engine(url, pool_size=4, max_overflow=0, pool_timeout=60)
    event.listen(engine.sync_engine, "connect", _prepare_sqlite_connection)
    event.listen(engine.sync_engine, "begin", _begin_on_sqlite)
    return engine


def _prepare_sqlite_connection(connection: Any, _record: object) -> None:
    # No transactions by the driver: it begins too late to take the write lock and leaves DDL out of them.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={_BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_on_sqlite(connection: Connection) -> None:
    # A transaction that reads first and takes the lock later fails with SQLITE_BUSY instead of waiting.
    if connection.get_execution_options().get(_WRITES):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
