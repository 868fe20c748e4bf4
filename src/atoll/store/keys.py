"""Rows of keys. The secret itself never comes here, only its SHA-256 in hexadecimal."""

from typing import Any

from sqlalchemy import Row, insert, select, update

from atoll.model.ids import KeyId, ProjectId
from atoll.model.projects import Key, Project
from atoll.store.connection import Connection
from atoll.store.tables import keys as table
from atoll.store.tables import projects


async def add(connection: Connection, key: Key, secret_sha256: str) -> None:
    """Write a new row."""
    await connection.execute(
        insert(table).values(
            id=key.id,
            project_id=key.project_id,
            name=key.name,
            hint=key.hint,
            secret_sha256=secret_sha256,
            created_at=key.created_at,
            revoked_at=key.revoked_at,
        )
    )


async def find_secret(connection: Connection, secret_sha256: str) -> tuple[Key, Project] | None:
    """Give the key of that secret and the project it opens; revoked ones too."""
    query = (
        select(table, projects.c.name.label("project_name"), projects.c.created_at.label("project_created_at"))
        .join(projects, projects.c.id == table.c.project_id)
        .where(table.c.secret_sha256 == secret_sha256)
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    key = _read(row)
    return key, Project(id=key.project_id, name=row.project_name, created_at=row.project_created_at)


async def every(connection: Connection) -> list[Key]:
    """Give all keys, oldest first."""
    return [_read(row) for row in await connection.execute(select(table).order_by(table.c.id))]


async def revoke(connection: Connection, key_id: KeyId, now: int) -> bool:
    """Close a key, keeping the time of the first closing; tells whether there is such a key."""
    query = update(table).where(table.c.id == key_id, table.c.revoked_at.is_(None)).values(revoked_at=now)
    if (await connection.execute(query)).rowcount:
        return True
    return (await connection.execute(select(table.c.id).where(table.c.id == key_id))).one_or_none() is not None


def _read(row: Row[Any]) -> Key:
    return Key(
        id=KeyId(row.id),
        project_id=ProjectId(row.project_id),
        name=row.name,
        hint=row.hint,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )
