"""A lookup finds the same by the driver itself as by SQLAlchemy, and refuses what it could not tell alike."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Boolean, Column, Integer, MetaData, String, Table, bindparam, make_url, select, text

from atoll.store.connection import Connection
from atoll.store.lookup import Lookup
from atoll.store.sqlite import Direct, SqliteDatabase, open_sqlite

METADATA = MetaData()
PEOPLE = Table("people", METADATA, Column("name", String), Column("town", String), Column("age", Integer))
# The parameters stand in another order than they are given in.
STATEMENT = select(PEOPLE).where(PEOPLE.c.town == bindparam("where"), PEOPLE.c.name == bindparam("who"))
LOOKUP = Lookup(STATEMENT)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    database = open_sqlite(make_url(f"sqlite:///{tmp_path}/a.db"))

    async def fill(connection: Connection) -> None:
        await connection.run_sync(METADATA.create_all)
        await connection.execute(PEOPLE.insert(), {"name": "Ada", "town": "London", "age": 36})
        await connection.execute(PEOPLE.insert(), {"name": "London", "town": "Ada", "age": None})

    await database.write(fill)
    yield database
    await database.aclose()


@pytest.mark.parametrize(("who", "where"), [("Ada", "London"), ("London", "Ada"), ("Ada", "Paris"), ("", "' OR 1=1")])
async def test_it_finds_what_sqlalchemy_finds(database: SqliteDatabase, who: str, where: str) -> None:
    async def look(connection: Connection) -> tuple[Any, Any]:
        parameters = {"who": who, "where": where}
        told = (await connection.execute(STATEMENT, parameters)).one_or_none()
        return await LOOKUP.one_or_none(connection, parameters), told

    found, told = await database.read(look)
    assert found == told
    if found is not None:
        assert (found.name, found.town, found.age) == (told.name, told.town, told.age)


async def test_it_sees_its_own_transaction_and_leaves_no_lock_behind(database: SqliteDatabase) -> None:
    async def move(connection: Connection) -> Any:
        await connection.execute(PEOPLE.update().values(town="Turin").where(PEOPLE.c.name == "Ada"))
        return await LOOKUP.one_or_none(connection, {"who": "Ada", "where": "Turin"})

    assert (await database.write(move)).age == 36

    async def is_reading(connection: Connection) -> bool:
        await LOOKUP.one_or_none(connection, {"who": "Ada", "where": "Turin"})
        assert isinstance(connection, Direct)
        return connection.driver.in_transaction

    assert not await database.read(is_reading)
    await database.write(lambda connection: connection.execute(text("DROP TABLE people")))


async def test_where_the_driver_would_have_to_wait_a_thread_does(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Connection] = []
    find = Lookup.one_or_none

    async def locked_at_first(lookup: Lookup, connection: Connection, parameters: dict[str, str]) -> Any:
        asked.append(connection)
        if len(asked) == 1:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY_RECOVERY
            raise error
        return await find(lookup, connection, parameters)

    monkeypatch.setattr(Lookup, "one_or_none", locked_at_first)
    found = await database.read(lambda connection: LOOKUP.one_or_none(connection, {"who": "Ada", "where": "London"}))
    assert found.age == 36
    assert len(asked) == 2
    assert asked[0] is not asked[1]


def test_what_sqlalchemy_would_convert_is_refused() -> None:
    flags = Table("flags", MetaData(), Column("on", Boolean))
    with pytest.raises(TypeError, match=r"flags\.on"):
        Lookup(select(flags))
