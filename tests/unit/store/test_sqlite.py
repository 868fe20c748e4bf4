"""What is SQLite's own: reads at once or, where they would have to wait, in a thread; many writes in one commit."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection as BlockingConnection
from sqlalchemy import event, make_url, text
from sqlalchemy.exc import OperationalError

from atoll.store.connection import Connection
from atoll.store.sqlite import SqliteDatabase, open_sqlite


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    database = open_sqlite(make_url(f"sqlite:///{tmp_path}/a.db"))
    try:
        await database.write(partial(_run, "CREATE TABLE noted (number INTEGER)"))
        yield database
    finally:
        await database.aclose()


async def _run(statement: str, connection: Connection) -> None:
    await connection.execute(text(statement))


async def _note(number: int, connection: Connection) -> None:
    await connection.execute(text("INSERT INTO noted VALUES (:number)"), {"number": number})


async def _numbers(connection: Connection) -> list[int]:
    return [row.number for row in await connection.execute(text("SELECT number FROM noted ORDER BY rowid"))]


async def _thread(connection: Connection) -> threading.Thread:
    await connection.execute(text("SELECT 1"))
    return threading.current_thread()


async def test_a_read_needs_no_other_thread_and_a_scan_does(database: SqliteDatabase) -> None:
    assert await database.read(_thread) is threading.current_thread()
    assert await database.scan(_thread) is not threading.current_thread()


async def test_a_read_that_would_wait_goes_to_a_thread(database: SqliteDatabase) -> None:
    loop_thread = threading.current_thread()

    def locked_for_the_loop(_connection: BlockingConnection, *_: Any) -> None:
        if threading.current_thread() is loop_thread:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY_RECOVERY
            raise OperationalError("SELECT 1", {}, error)

    event.listen(database.engine, "before_cursor_execute", locked_for_the_loop)
    assert await database.read(_thread) is not loop_thread


async def test_another_failure_of_a_read_is_told(database: SqliteDatabase) -> None:
    with pytest.raises(OperationalError, match="no such table"):
        await database.read(partial(_run, "SELECT * FROM missing"))


async def test_what_waits_for_a_commit_is_written_with_the_next_one_in_order(database: SqliteDatabase) -> None:
    commits: list[BlockingConnection] = []
    has_begun, may_go_on = threading.Event(), threading.Event()
    event.listen(database.engine, "commit", commits.append)

    async def hold(_: Connection) -> None:
        has_begun.set()
        assert may_go_on.wait(10)

    holding = asyncio.create_task(database.write(hold))
    await asyncio.to_thread(has_begun.wait, 10)
    writing = [asyncio.create_task(database.write(partial(_note, number))) for number in range(50)]
    await asyncio.sleep(0)  # each has begun and handed its work over
    may_go_on.set()
    await asyncio.gather(holding, *writing)
    assert len(commits) == 2
    assert await database.read(_numbers) == list(range(50))


async def test_a_commit_that_fails_fails_for_all_in_it(database: SqliteDatabase, tmp_path: Path) -> None:
    def refuse(_: BlockingConnection) -> None:
        raise OSError("no space")

    event.listen(database.engine, "commit", refuse)
    done = await asyncio.gather(
        *(database.write(partial(_note, number)) for number in range(5)),
        return_exceptions=True,
    )
    assert [type(error) for error in done] == [OSError] * 5
    event.remove(database.engine, "commit", refuse)
    await database.write(partial(_note, 7))
    assert await database.read(_numbers) == [7]


async def test_work_that_waits_for_something_else_is_refused(database: SqliteDatabase) -> None:
    async def wait(connection: Connection) -> None:
        await _note(1, connection)
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="must not wait"):
        await database.write(wait)
    assert await database.read(_numbers) == []


async def test_closing_writes_what_was_given(tmp_path: Path) -> None:
    url = make_url(f"sqlite:///{tmp_path}/b.db")
    database = open_sqlite(url)
    await database.write(partial(_run, "CREATE TABLE noted (number INTEGER)"))
    writing = asyncio.create_task(database.write(partial(_note, 1)))
    await asyncio.sleep(0)
    await database.aclose()
    await writing
    database = open_sqlite(url)
    assert await database.read(_numbers) == [1]
    await database.aclose()
