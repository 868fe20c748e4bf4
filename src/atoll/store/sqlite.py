"""SQLite, without a hop through a thread for what is quick, and with one sync to disk for many writes.

Quick reads run where they are asked for, on the event loop: from the page cache a row takes some ten microseconds, and
handing it to a thread and back more than ten times that. A read that would have to wait for a lock goes to a thread,
and so does every read whose length grows with the database.

Writes go to one thread. What came while the last commit was being synced becomes one transaction, in which each piece
of work stands on a savepoint of its own.
"""

import asyncio
import os
import queue
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Connection as BlockingConnection
from sqlalchemy import CursorResult, Dialect, Engine, Executable, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from atoll.cancellation import finish
from atoll.store.connection import Work

T = TypeVar("T")

_BUSY_TIMEOUT_MS: Final = 10_000
_SCANS_AT_ONCE: Final = 2
_WRITES: Final = "atoll_writes"


class SqliteDatabase:
    """One file. Belongs to the event loop that made it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reading = engine.connect()
        self._reading.exec_driver_sql("PRAGMA busy_timeout=0")  # the event loop waits for nobody
        self._direct = Direct(self._reading)
        self._scans = ThreadPoolExecutor(_SCANS_AT_ONCE, "database-scan")
        self._writer = _Writer(engine)

    @property
    def engine(self) -> Engine:
        """The engine below, for tests."""
        return self._engine

    async def read(self, work: Work[T]) -> T:
        """Do reading work that an index bounds, at once."""
        try:
            return await work(self._direct)
        except (OperationalError, sqlite3.OperationalError) as error:
            if not _is_busy(error):
                raise
        return await self.scan(work)

    async def scan(self, work: Work[T]) -> T:
        """Do reading work of any length."""
        return await finish(asyncio.get_running_loop().run_in_executor(self._scans, self._scan, work))

    async def write(self, work: Work[T]) -> T:
        """Do work in a transaction, together with what else waits: all of it, or nothing when it raises."""
        return cast("T", await finish(self._writer.submit(work)))

    async def aclose(self) -> None:
        """Finish what was begun and close the file."""
        self._writer.close()
        self._scans.shutdown()
        self._reading.close()
        self._engine.dispose()

    def _scan(self, work: Work[T]) -> T:
        with self._engine.connect() as connection:
            return _do(work(Direct(connection)))


def open_sqlite(url: URL) -> SqliteDatabase:
    """Open the database file that an SQLAlchemy URL names, whatever driver it names. Raises ``ValueError``."""
    if not url.database or url.database == ":memory:":
        raise ValueError("an SQLite database needs a file: each connection in memory would be another database")
    # Keys' hashes and people's file names are nobody else's business; the -wal and -shm files follow this mode.
    os.close(os.open(url.database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    engine = create_engine(url.set(drivername="sqlite"), pool_size=_SCANS_AT_ONCE + 2, max_overflow=0)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return SqliteDatabase(engine)


class Direct:
    """A blocking connection in the clothes of one that is waited for; it never makes anybody wait."""

    def __init__(self, connection: BlockingConnection) -> None:
        self._connection = connection

    @cached_property
    def driver(self) -> sqlite3.Connection:
        """The driver's own connection, in the same transaction."""
        return cast("sqlite3.Connection", self._connection.connection.driver_connection)

    @property
    def dialect(self) -> Dialect:
        return self._connection.dialect

    async def execute(self, statement: Executable, parameters: Any = None, /) -> CursorResult[Any]:
        return self._connection.execute(statement, parameters)

    async def run_sync(self, work: Callable[[BlockingConnection], T], /) -> T:
        return work(self._connection)


def _do(work: Awaitable[T]) -> T:
    """Run work that has nothing to wait for."""
    steps = cast("Coroutine[Any, Any, T]", work)
    try:
        steps.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    steps.close()
    raise RuntimeError("work on the database must not wait for anything but the database")


@dataclass(frozen=True, slots=True)
class _Job:
    work: Work[Any]
    outcome: "asyncio.Future[Any]"


class _Writer:
    """The one thread that writes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.execution_options(**{_WRITES: True})
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="database-write", daemon=True)
        self._thread.start()

    def submit(self, work: Work[Any]) -> "asyncio.Future[Any]":
        job = _Job(work, self._loop.create_future())
        self._jobs.put(job)
        return job.outcome

    def close(self) -> None:
        """Write what was submitted and end."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            jobs, is_last = self._take()
            outcomes = self._write(jobs) if jobs else []
            with suppress(RuntimeError):  # the event loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(_settle, jobs, outcomes)

    def _take(self) -> tuple[list[_Job], bool]:
        """Wait for work, and take with it what else is there; tells whether it was the last."""
        jobs = []
        job = self._jobs.get()
        while job is not None:
            jobs.append(job)
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return jobs, False
        return jobs, True

    def _write(self, jobs: Sequence[_Job]) -> "list[_Outcome]":
        """Write all of it in one transaction; what breaks this breaks all of them."""
        try:
            with self._engine.connect() as connection, connection.begin():
                if len(jobs) == 1:
                    return [(_do(jobs[0].work(Direct(connection))), None)]
                return [_on_savepoint(connection, job) for job in jobs]
        except BaseException as error:  # noqa: BLE001 - handed on to who waits; the thread must live
            return [(None, error)] * len(jobs)


_Outcome = tuple[Any, BaseException | None]


def _on_savepoint(connection: BlockingConnection, job: _Job) -> _Outcome:
    try:
        with connection.begin_nested():
            return _do(job.work(Direct(connection))), None
    except Exception as error:  # noqa: BLE001 - handed on to who waits; the others' work stands
        return None, error


def _settle(jobs: Sequence[_Job], outcomes: Sequence[_Outcome]) -> None:
    for job, (value, error) in zip(jobs, outcomes, strict=True):
        if job.outcome.done():
            continue  # its event loop is ending
        if error is None:
            job.outcome.set_result(value)
        else:
            job.outcome.set_exception(error)


def _is_busy(error: OperationalError | sqlite3.OperationalError) -> bool:
    code = getattr(error.orig if isinstance(error, OperationalError) else error, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _prepare(connection: Any, _record: object) -> None:
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


def _begin(connection: BlockingConnection) -> None:
    # A transaction that reads first and takes the lock later fails with SQLITE_BUSY instead of waiting.
    if connection.get_execution_options().get(_WRITES):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
