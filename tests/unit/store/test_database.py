"""Transactions, their end under cancellation, and the steps that make the tables."""

import asyncio
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection as BlockingConnection
from sqlalchemy import make_url, text
from sqlalchemy.exc import IntegrityError

from atoll.store import containers
from atoll.store.connection import Connection
from atoll.store.database import Database, open_database
from atoll.store.migrations.steps import DatabaseTooNewError
from atoll.store.migrations.upgrade import NEWEST
from atoll.store.served import open_served
from atoll.store.sqlite import open_sqlite
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


_OLD_ROWS = (
    "INSERT INTO projects VALUES ('proj_1', 'research', 1700000000)",
    "INSERT INTO keys VALUES ('key_1', 'proj_1', 'ci', 'sk-…abc', 'f00', 1700000000, NULL)",
    "INSERT INTO containers VALUES ('cntr_1', 'proj_1', 'kept', 17, 18, 2, 9, '1g', '{}', 'running', 's')",
    "INSERT INTO container_files VALUES ('cfile_1', 'cntr_1', '/mnt/data/a', 3, 1700000000, 'user')",
    "INSERT INTO files VALUES ('file-1', 'proj_1', 'a', 'user_data', 3, 1700000000, NULL)",
)


async def rows(database: Database) -> list[object]:
    async def work(connection: Connection) -> list[object]:
        tables = ("projects", "keys", "containers", "container_files", "files", "alembic_version")
        return [tuple((await connection.execute(text(f"SELECT * FROM {table}"))).one()) for table in tables]  # noqa: S608

    return await database.scan(work)


@asynccontextmanager
async def opened_as_it_is(url: str) -> AsyncIterator[Database]:
    """Open a database without any step."""
    database: Database = open_sqlite(make_url(url)) if url.startswith("sqlite") else open_served(make_url(url))
    try:
        yield database
    finally:
        await database.aclose()


async def make_old(url: str, revision: str = "0001") -> list[object]:
    """Make a database as an earlier program left it; gives its rows."""

    def step(connection: BlockingConnection) -> None:
        config = Config()
        config.set_main_option("script_location", "atoll.store:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    async def work(connection: Connection) -> None:
        await connection.run_sync(step)
        for statement in _OLD_ROWS:
            await connection.execute(text(statement))

    async with opened_as_it_is(url) as database:
        await database.write(work)
        return await rows(database)


async def test_a_database_of_the_version_before_is_upgraded_with_its_rows(database_url: str) -> None:
    before = await make_old(database_url)
    async with open_database(database_url) as database:
        assert (await rows(database))[:-1] == before[:-1]

        def differences(connection: BlockingConnection) -> list[object]:
            return list(compare_metadata(MigrationContext.configure(connection), metadata))

        assert await database.read(lambda connection: connection.run_sync(differences)) == []


async def test_what_an_up_to_date_database_is_compared_with_is_the_last_step(database_url: str) -> None:
    async with open_database(database_url):
        pass

    async def found(connection: Connection) -> object:
        return (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one()

    async with opened_as_it_is(database_url) as database:
        assert await database.read(found) == NEWEST


async def test_an_up_to_date_database_is_opened_without_alembic(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/atoll.db"
    async with open_database(url):
        pass
    program = (
        "import asyncio, sys; from atoll.store.database import open_database\n"
        "async def main():\n"
        f"    async with open_database({url!r}): print('alembic' in sys.modules)\n"
        "asyncio.run(main())"
    )
    said = await asyncio.to_thread(subprocess.check_output, [sys.executable, "-c", program], text=True)
    assert said == "False\n"


async def test_an_upgrade_that_breaks_off_leaves_everything_and_is_done_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await make_old(database_url)

    def breaks_off(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr("alembic.op.create_index", breaks_off)  # after the step made its table
        with pytest.raises(ZeroDivisionError):
            async with open_database(database_url):
                pass
    async with opened_as_it_is(database_url) as database:
        assert await rows(database) == before
    async with open_database(database_url) as database:
        assert (await rows(database))[:-1] == before[:-1]


async def test_a_database_of_a_newer_program_is_refused_in_words(database_url: str) -> None:
    await make_old(database_url)

    async def newer(connection: Connection) -> None:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    async with opened_as_it_is(database_url) as database:
        await database.write(newer)
        before = await rows(database)
    with pytest.raises(DatabaseTooNewError, match="9999, which a newer Atoll made"):
        async with open_database(database_url):
            pass
    async with opened_as_it_is(database_url) as database:
        assert await rows(database) == before


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
