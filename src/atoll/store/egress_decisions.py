"""Rows of what was let out of containers and what was not."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, bindparam, delete, insert, select
from sqlalchemy import func as sql

from atoll.model.egress_decision import EgressReason, EgressRecord
from atoll.model.ids import ContainerId, EgressId
from atoll.model.pages import Page, PageQuery
from atoll.store.connection import Connection
from atoll.store.paging import fetch_page
from atoll.store.tables import containers
from atoll.store.tables import egress_decisions as table

_OF_CONTAINER = select(table).where(table.c.container_id == bindparam("container"))


async def add(connection: Connection, records: Sequence[EgressRecord]) -> None:
    """Write new rows; those of containers that are gone are left out."""
    wanted = sorted({record.container_id for record in records})
    there = set((await connection.execute(select(containers.c.id).where(containers.c.id.in_(wanted)))).scalars())
    rows = [_columns(record) for record in records if record.container_id in there]
    if rows:
        await connection.execute(insert(table), rows)


async def page(connection: Connection, container_id: ContainerId, query: PageQuery) -> Page[EgressRecord]:
    """Give one page of a container's."""
    return await fetch_page(connection, _OF_CONTAINER, {"container": container_id}, query, _read)


async def keep_newest(connection: Connection, container_id: ContainerId, rows_max: int) -> None:
    """Remove all of a container's but the newest ``rows_max``."""
    oldest_kept = (
        select(table.c.id)
        .where(table.c.container_id == container_id)
        .order_by(table.c.id.desc())
        .offset(rows_max - 1)
        .limit(1)
    )
    first = (await connection.execute(oldest_kept)).scalar_one_or_none()
    if first is not None:
        await connection.execute(delete(table).where(table.c.container_id == container_id, table.c.id < first))


async def newest_id(connection: Connection) -> str | None:
    """Give the largest id there is."""
    newest: str | None = (await connection.execute(select(sql.max(table.c.id)))).scalar_one()
    return newest


def _columns(record: EgressRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "container_id": record.container_id,
        "at_ms": record.at_ms,
        "name": record.name,
        "port": record.port,
        "reason": record.reason.value,
        "bytes_sent": record.bytes_sent,
        "bytes_received": record.bytes_received,
    }


def _read(row: Row[Any]) -> EgressRecord:
    return EgressRecord(
        id=EgressId(row.id),
        container_id=ContainerId(row.container_id),
        at_ms=row.at_ms,
        name=row.name,
        port=row.port,
        reason=EgressReason(row.reason),
        bytes_sent=row.bytes_sent,
        bytes_received=row.bytes_received,
    )
