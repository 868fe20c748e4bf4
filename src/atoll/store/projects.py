"""Rows of projects."""

from typing import Any

from sqlalchemy import Row, insert, select

from atoll.model.ids import ProjectId
from atoll.model.projects import Project
from atoll.store.connection import Connection
from atoll.store.tables import projects as table


async def add(connection: Connection, project: Project) -> None:
    """Write a new row; names are unique."""
    await connection.execute(insert(table).values(id=project.id, name=project.name, created_at=project.created_at))


async def find_name(connection: Connection, name: str) -> Project | None:
    """Give the project of that name."""
    row = (await connection.execute(select(table).where(table.c.name == name))).one_or_none()
    return None if row is None else _read(row)


def _read(row: Row[Any]) -> Project:
    return Project(id=ProjectId(row.id), name=row.name, created_at=row.created_at)
