"""A query for at most one row that is asked with every request.

On SQLite the driver is asked itself: there SQLAlchemy takes ten times as long as the database does to find a row. The
query is still written once, in SQLAlchemy's words, which both kinds of database are given.
"""

from collections import namedtuple
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from atoll.store.connection import Connection
from atoll.store.sqlite import Direct


class Lookup:
    """``statement`` has parameters by name. Raises ``TypeError`` for columns that are not as the driver gives them."""

    def __init__(self, statement: Select[Any]) -> None:
        dialect = SQLiteDialect_pysqlite(paramstyle="qmark")
        columns = list(statement.selected_columns)
        for column in columns:
            if column.type.dialect_impl(dialect).result_processor(dialect, None) is not None:
                raise TypeError(f"{column} is not as the driver gives it")
        compiled = statement.compile(dialect=dialect)
        self._statement = statement
        self._text = str(compiled)
        self._names = tuple(compiled.positiontup or ())
        row: Any = namedtuple("Row", [str(column.key) for column in columns])  # type: ignore[misc] # noqa: PYI024
        self._to_row = row._make

    async def one_or_none(self, connection: Connection, parameters: Mapping[str, str]) -> Any:
        """Give the row, whose columns are attributes, or ``None``."""
        if not isinstance(connection, Direct):
            return (await connection.execute(self._statement, parameters)).one_or_none()
        rows = connection.driver.execute(self._text, [parameters[name] for name in self._names]).fetchall()
        return self._to_row(rows[0]) if rows else None
