"""A database for each test: SQLite always, PostgreSQL too where ``ATOLL_TEST_POSTGRESQL_URL`` names one."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from atoll.store.database import Database, open_database
from atoll.store.tables import metadata

_POSTGRESQL = os.environ.get("ATOLL_TEST_POSTGRESQL_URL")


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """Give a database of this process's own, on the server of the one that is named and may be somebody's."""
    if _POSTGRESQL is None:
        pytest.skip("ATOLL_TEST_POSTGRESQL_URL names no database")
    name = f"atoll_test_{os.getpid()}"
    asyncio.run(_execute(_POSTGRESQL, f"CREATE DATABASE {name}"))
    yield make_url(_POSTGRESQL).set(database=name).render_as_string(hide_password=False)
    asyncio.run(_execute(_POSTGRESQL, f"DROP DATABASE {name}"))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/atoll.db"
        return
    url: str = request.getfixturevalue("postgresql_url")
    yield url
    asyncio.run(_empty(url))


async def _empty(url: str) -> None:
    """Remove our tables."""
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.drop_all)
        await connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    await engine.dispose()


async def _execute(url: str, statement: str) -> None:
    """Run a statement that may be in no transaction."""
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as database:
        yield database
