"""Keyset paging: the id is both order and cursor, so a deep page costs what the first one does."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import BindParameter, Select, bindparam

from atoll.model.pages import Order, Page, PageQuery
from atoll.store.connection import Connection

T = TypeVar("T")


async def fetch_page(
    connection: Connection,
    wanted: Select[Any],
    parameters: Mapping[str, object],
    query: PageQuery,
    to_value: Callable[[Any], T],
) -> Page[T]:
    """Run ``wanted`` (a select on a table with an ``id``, kept for good) for one page."""
    given = {**parameters, "rows_max": query.limit + 1}  # the one row more tells whether there is another page
    if query.after is not None:
        given["after"] = query.after
    statement = _paged(wanted, query.order, has_cursor=query.after is not None)
    rows = (await connection.execute(statement, given)).all()
    has_more = len(rows) > query.limit > 0
    return Page(items=tuple(to_value(row) for row in rows[: query.limit]), has_more=has_more)


@lru_cache(maxsize=64)
def _paged(wanted: Select[Any], order: Order, *, has_cursor: bool) -> Select[Any]:
    identifier = wanted.selected_columns.id
    if has_cursor:
        after: BindParameter[str] = bindparam("after")
        wanted = wanted.where(identifier > after if order == "asc" else identifier < after)
    wanted = wanted.order_by(identifier.asc() if order == "asc" else identifier.desc())
    return wanted.limit(bindparam("rows_max"))
