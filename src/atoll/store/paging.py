"""Keyset paging: the id is both order and cursor, so a deep page costs what the first one does."""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from atoll.model.pages import Page, PageQuery

T = TypeVar("T")


async def fetch_page(
    connection: AsyncConnection,
    select: Select[Any],
    identifier: ColumnElement[str],
    query: PageQuery,
    to_value: Callable[[Any], T],
) -> Page[T]:
    """Run ``select`` for one page. One row more than asked for tells whether there is another page."""
    ascending = query.order == "asc"
    if query.after is not None:
        select = select.where(identifier > query.after if ascending else identifier < query.after)
    select = select.order_by(identifier.asc() if ascending else identifier.desc()).limit(query.limit + 1)
    rows = (await connection.execute(select)).all()
    has_more = len(rows) > query.limit > 0
    return Page(items=tuple(to_value(row) for row in rows[: query.limit]), has_more=has_more)
