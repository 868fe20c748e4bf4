"""Rows of uploaded files. A file whose time is over is not given any more, whether its row is still there or not."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, bindparam, delete, insert, select
from sqlalchemy import func as sql

from atoll.model.files import File
from atoll.model.ids import FileId, ProjectId
from atoll.model.pages import Page, PageQuery
from atoll.store.connection import Connection
from atoll.store.paging import fetch_page
from atoll.store.tables import files as table

_IDS_PER_QUERY = 500

_NOW = bindparam("now", type_=table.c.expires_at.type)
# Not an OR of two comparisons: that would tempt the planner away from the index that gives the order.
_ALIVE = sql.coalesce(table.c.expires_at, _NOW + 1) > _NOW
_OF_PROJECT = select(table).where(table.c.project_id == bindparam("project"), _ALIVE)
_OF_PURPOSE = _OF_PROJECT.where(table.c.purpose == bindparam("for"))


async def add(connection: Connection, file: File) -> None:
    """Write a new row."""
    await connection.execute(
        insert(table).values(
            id=file.id,
            project_id=file.project_id,
            filename=file.filename,
            purpose=file.purpose,
            bytes=file.bytes,
            created_at=file.created_at,
            expires_at=file.expires_at,
        )
    )


async def find(connection: Connection, project_id: ProjectId, file_id: FileId, now: int) -> File | None:
    """Give a project's file."""
    query = select(table).where(table.c.id == file_id, table.c.project_id == project_id, _ALIVE)
    row = (await connection.execute(query, {"now": now})).one_or_none()
    return None if row is None else _read(row)


async def page(
    connection: Connection, project_id: ProjectId, query: PageQuery, purpose: str | None, now: int
) -> Page[File]:
    """Give one page of a project's files, of one purpose only when ``purpose`` is given."""
    if purpose is None:
        return await fetch_page(connection, _OF_PROJECT, {"project": project_id, "now": now}, query, _read)
    parameters = {"project": project_id, "now": now, "for": purpose}
    return await fetch_page(connection, _OF_PURPOSE, parameters, query, _read)


async def remove(connection: Connection, project_id: ProjectId, file_id: FileId, now: int) -> bool:
    """Remove a row; tells whether there was one."""
    query = delete(table).where(table.c.id == file_id, table.c.project_id == project_id, _ALIVE)
    return (await connection.execute(query, {"now": now})).rowcount == 1


async def remove_expired(connection: Connection, now: int, rows_max: int) -> tuple[FileId, ...]:
    """Remove rows whose time is over at ``now``, the longest overdue first; gives their ids."""
    old = select(table.c.id).where(table.c.expires_at <= now).order_by(table.c.expires_at).limit(rows_max)
    rows = await connection.execute(delete(table).where(table.c.id.in_(old)).returning(table.c.id))
    return tuple(FileId(row.id) for row in rows)


async def existing(connection: Connection, asked: Collection[FileId]) -> set[FileId]:
    """Give those of ``asked`` that have a row."""
    wanted = sorted(asked)
    found: set[FileId] = set()
    for start in range(0, len(wanted), _IDS_PER_QUERY):
        part = wanted[start : start + _IDS_PER_QUERY]
        rows = await connection.execute(select(table.c.id).where(table.c.id.in_(part)))
        found.update(FileId(row.id) for row in rows)
    return found


async def newest_id(connection: Connection) -> str | None:
    """Give the largest id there is."""
    newest: str | None = (await connection.execute(select(sql.max(table.c.id)))).scalar_one()
    return newest


def _read(row: Row[Any]) -> File:
    return File(
        id=FileId(row.id),
        project_id=ProjectId(row.project_id),
        filename=row.filename,
        purpose=row.purpose,
        bytes=row.bytes,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
