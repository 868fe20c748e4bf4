"""A database for each test: SQLite always, PostgreSQL too where ``ATOLL_TEST_POSTGRESQL_URL`` names one."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from atoll.store.database import Database, open_database
from atoll.store.tables import metadata

_POSTGRESQL = os.environ.get("ATOLL_TEST_POSTGRESQL_URL")


@pytest.fixture(params=["sqlite", "postgresql"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/atoll.db"
        return
    if _POSTGRESQL is None:
        pytest.skip("ATOLL_TEST_POSTGRESQL_URL names no database")
    await _empty(_POSTGRESQL)
    yield _POSTGRESQL
    await _empty(_POSTGRESQL)


async def _empty(url: str) -> None:
    """Remove our own tables and nothing else: the URL may name a database that somebody uses."""
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.drop_all)
        await connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    await engine.dispose()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as database:
        yield database
