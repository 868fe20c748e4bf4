"""Rows of files in containers: what was found there last."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Row, bindparam, delete, insert, select, update
from sqlalchemy import func as sql
from sqlalchemy.dialects import postgresql, sqlite

from atoll.model.files import ContainerFile
from atoll.model.ids import ContainerFileId, ContainerId
from atoll.model.pages import Page, PageQuery
from atoll.store.connection import Connection
from atoll.store.paging import fetch_page
from atoll.store.tables import container_files as table

_PATHS_PER_QUERY = 500
_OF_CONTAINER = select(table).where(table.c.container_id == bindparam("container"))


async def put(connection: Connection, file: ContainerFile) -> ContainerFile:
    """Write a row; one of the same path keeps its id and creation time and takes the rest. Gives what counts."""
    write = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    query = (
        write(table)
        .values(_columns(file))
        .on_conflict_do_update(
            index_elements=[table.c.container_id, table.c.path],
            set_={"bytes": file.bytes, "source": file.source},
        )
        .returning(*table.c)
    )
    return _read((await connection.execute(query)).one())


async def add(connection: Connection, files: Sequence[ContainerFile]) -> None:
    """Write new rows, of paths that have none."""
    if files:
        await connection.execute(insert(table), [_columns(file) for file in files])


async def resize(connection: Connection, sizes: Sequence[tuple[ContainerFileId, int]]) -> None:
    """Note new sizes in bytes."""
    if sizes:
        query = update(table).where(table.c.id == bindparam("file")).values(bytes=bindparam("size"))
        await connection.execute(query, [{"file": file, "size": size} for file, size in sizes])


async def remove(connection: Connection, files: Iterable[ContainerFileId]) -> None:
    """Remove rows; those that are gone are no error."""
    rows = [{"file": file} for file in files]
    if rows:
        await connection.execute(delete(table).where(table.c.id == bindparam("file")), rows)


async def find(connection: Connection, container_id: ContainerId, file_id: ContainerFileId) -> ContainerFile | None:
    """Give a container's file."""
    query = select(table).where(table.c.id == file_id, table.c.container_id == container_id)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else _read(row)


async def find_path(connection: Connection, container_id: ContainerId, path: str) -> ContainerFile | None:
    """Give the file at a path."""
    query = select(table).where(table.c.container_id == container_id, table.c.path == path)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else _read(row)


async def at_paths(
    connection: Connection, container_id: ContainerId, paths: Collection[str]
) -> tuple[ContainerFile, ...]:
    """Give the files at some paths, in no order."""
    wanted = sorted(paths)
    found: list[ContainerFile] = []
    for start in range(0, len(wanted), _PATHS_PER_QUERY):
        part = wanted[start : start + _PATHS_PER_QUERY]
        query = select(table).where(table.c.container_id == container_id, table.c.path.in_(part))
        found += [_read(row) for row in await connection.execute(query)]
    return tuple(found)


async def all_of(connection: Connection, container_id: ContainerId) -> tuple[ContainerFile, ...]:
    """Give every row of a container, in no order; bounded by the limit on files in a container."""
    rows = await connection.execute(select(table).where(table.c.container_id == container_id))
    return tuple(_read(row) for row in rows)


async def count(connection: Connection, container_id: ContainerId) -> int:
    """Count a container's files."""
    query = select(sql.count()).where(table.c.container_id == container_id)
    return int((await connection.execute(query)).scalar_one())


async def page(connection: Connection, container_id: ContainerId, query: PageQuery) -> Page[ContainerFile]:
    """Give one page of a container's files."""
    return await fetch_page(connection, _OF_CONTAINER, {"container": container_id}, query, _read)


async def newest_id(connection: Connection) -> str | None:
    """Give the largest id there is."""
    newest: str | None = (await connection.execute(select(sql.max(table.c.id)))).scalar_one()
    return newest


def _columns(file: ContainerFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "container_id": file.container_id,
        "path": file.path,
        "bytes": file.bytes,
        "created_at": file.created_at,
        "source": file.source,
    }


def _read(row: Row[Any]) -> ContainerFile:
    return ContainerFile(
        id=ContainerFileId(row.id),
        container_id=ContainerId(row.container_id),
        path=row.path,
        bytes=row.bytes,
        created_at=row.created_at,
        source=row.source,
    )
