"""A database behind a server of its own (PostgreSQL): every query is waited for, on a connection from a pool."""

from typing import TypeVar

from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from atoll.cancellation import finish
from atoll.store.connection import Work

T = TypeVar("T")


class ServedDatabase:
    """A pool of connections."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def read(self, work: Work[T]) -> T:
        """Do reading work."""
        return await finish(self._read(work))

    async def scan(self, work: Work[T]) -> T:
        """Do the same: here no read makes others wait."""
        return await finish(self._read(work))

    async def write(self, work: Work[T]) -> T:
        """Do work in one transaction: all of it, or nothing when it raises."""
        return await finish(self._write(work))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._engine.dispose()

    async def _read(self, work: Work[T]) -> T:
        async with self._reading.connect() as connection:
            return await work(connection)

    async def _write(self, work: Work[T]) -> T:
        async with self._engine.begin() as connection:
            return await work(connection)


def open_served(url: URL) -> ServedDatabase:
    """Make the pool; it connects at the first query."""
    return ServedDatabase(create_async_engine(url, pool_pre_ping=True))
