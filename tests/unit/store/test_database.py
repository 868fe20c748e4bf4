"""Transactions, their end under cancellation, and the steps that make the tables."""

import asyncio
import stat
from functools import partial
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection as BlockingConnection
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from atoll.store import containers
from atoll.store.connection import Connection
from atoll.store.database import Database, open_database
from atoll.store.tables import metadata
from tests.unit.store.rows import a_container, add_container, add_project


async def test_the_steps_make_exactly_the_tables(database: Database) -> None:
    def differences(connection: BlockingConnection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    assert await database.read(lambda connection: connection.run_sync(differences)) == []


async def test_opening_again_keeps_what_is_there(database_url: str) -> None:
    async with open_database(database_url) as database:
        project = await add_project(database, "p")
        container = await add_container(database, project)
    async with open_database(database_url) as database:
        found = await database.read(lambda connection: containers.find(connection, project, container.id))
    assert found == container


async def test_work_that_raises_leaves_nothing(database: Database) -> None:
    project = await add_project(database, "p")
    container = a_container(project)

    async def work(connection: Connection) -> None:
        await containers.add(connection, container)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.write(work)
    assert await database.read(lambda connection: containers.find(connection, project, container.id)) is None


async def test_work_that_is_cancelled_goes_to_its_end(database: Database) -> None:
    project = await add_project(database, "p")
    container = a_container(project)
    writing = asyncio.create_task(database.write(lambda connection: containers.add(connection, container)))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.sleep(0)
    writing.cancel()  # again: it still waits for the end
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await database.read(lambda connection: containers.find(connection, project, container.id))


async def test_a_scan_reads_what_a_read_does(database: Database) -> None:
    project = await add_project(database, "p")
    container = await add_container(database, project)
    assert await database.scan(lambda connection: containers.find(connection, project, container.id)) == container
    assert await database.read(lambda connection: containers.find(connection, project, container.id)) == container


async def test_writers_at_once_fail_each_for_itself(database: Database) -> None:
    project = await add_project(database, "p")
    good = [a_container(project) for _ in range(20)]
    twice = a_container(project, id=good[0].id)

    async def add_and_fail(connection: Connection) -> None:
        await containers.add(connection, a_container(project))
        raise ZeroDivisionError

    done = await asyncio.gather(
        *(database.write(partial(containers.add, container=container)) for container in good),
        database.write(add_and_fail),
        database.write(partial(containers.add, container=twice)),
        return_exceptions=True,
    )
    assert done[:20] == [None] * 20
    assert isinstance(done[20], ZeroDivisionError)
    assert isinstance(done[21], IntegrityError)
    assert await database.read(lambda connection: containers.count_running(connection, project)) == 20


async def test_many_writers_at_once(database: Database) -> None:
    project = await add_project(database, "p")
    await asyncio.gather(*(add_container(database, project) for _ in range(50)))
    assert await database.read(lambda connection: containers.count_running(connection, project)) == 50


async def test_sqlite_is_set_up_for_keeps(tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path}/a.db") as database:
        for pragma, expected in [
            ("journal_mode", "wal"),
            ("synchronous", 2),
            ("foreign_keys", 1),
            ("busy_timeout", 10_000),
        ]:

            async def value(connection: Connection, pragma: str = pragma) -> object:
                return (await connection.execute(text(f"PRAGMA {pragma}"))).scalar_one()

            assert await database.scan(value) == expected
        for name in ("a.db", "a.db-wal", "a.db-shm"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


async def test_a_database_in_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a file"):
        async with open_database("sqlite:///:memory:"):
            pass
