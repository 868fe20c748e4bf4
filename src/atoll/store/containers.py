"""Rows of containers."""

import json
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, bindparam, delete, insert, select, update
from sqlalchemy import func as sql

from atoll.model.containers import Container, ContainerChange, ContainerStatus
from atoll.model.ids import ContainerId, ProjectId, SandboxId
from atoll.model.memory_limit import MemoryLimit
from atoll.model.network_policy import NetworkPolicy, policy_from_json, policy_to_json
from atoll.model.pages import Page, PageQuery
from atoll.store.connection import Connection
from atoll.store.lookup import Lookup
from atoll.store.paging import fetch_page
from atoll.store.tables import container_files
from atoll.store.tables import containers as table

_IDS_PER_QUERY = 500

# Asked with every request: building a statement anew takes longer than running it.
_ADD = insert(table)
_FIND = Lookup(select(table).where(table.c.id == bindparam("container"), table.c.project_id == bindparam("project")))
_OF_PROJECT = select(table).where(table.c.project_id == bindparam("project"))
_OF_NAME = _OF_PROJECT.where(table.c.name == bindparam("called"))


async def add(connection: Connection, container: Container) -> None:
    """Write a new row."""
    values = {
        "id": container.id,
        "project_id": container.project_id,
        "name": container.name,
        "created_at": container.created_at,
        "last_active_at": container.last_active_at,
        "expires_after_minutes": container.expires_after_minutes,
        "expires_at": container.expires_at,
        "memory_limit": container.memory_limit.value,
        "network_policy": _write_policy(container.network_policy),
        "status": container.status.value,
        "sandbox_id": container.sandbox_id,
    }
    await connection.execute(_ADD, values)


async def find(connection: Connection, project_id: ProjectId, container_id: ContainerId) -> Container | None:
    """Give a project's container."""
    row = await _FIND.one_or_none(connection, {"container": container_id, "project": project_id})
    return None if row is None else _read(row)


async def page(connection: Connection, project_id: ProjectId, query: PageQuery, name: str | None) -> Page[Container]:
    """Give one page of a project's containers, of one name only when ``name`` is given."""
    if name is None:
        return await fetch_page(connection, _OF_PROJECT, {"project": project_id}, query, _read)
    return await fetch_page(connection, _OF_NAME, {"project": project_id, "called": name}, query, _read)


async def count_running(connection: Connection, project_id: ProjectId) -> int:
    """Count a project's running containers."""
    query = select(sql.count()).where(table.c.project_id == project_id, table.c.status == ContainerStatus.RUNNING.value)
    return int((await connection.execute(query)).scalar_one())


async def count_all_running(connection: Connection) -> int:
    """Count the running containers of all projects."""
    query = select(sql.count()).where(table.c.status == ContainerStatus.RUNNING.value)
    return int((await connection.execute(query)).scalar_one())


async def hold_running(connection: Connection, container_id: ContainerId) -> bool:
    """Tell whether a container runs, and keep it from changing until the transaction ends."""
    query = (
        select(table.c.id)
        .where(table.c.id == container_id, table.c.status == ContainerStatus.RUNNING.value)
        .with_for_update()
    )
    return (await connection.execute(query)).one_or_none() is not None


async def change(connection: Connection, container_id: ContainerId, wanted: ContainerChange) -> Container | None:
    """Change a running container's row; gives what it is now, or ``None`` when there is none that runs."""
    values: dict[str, Any] = {}
    if wanted.name is not None:
        values["name"] = wanted.name
    if wanted.network_policy is not None:
        values["network_policy"] = _write_policy(wanted.network_policy)
    if wanted.expires_after_minutes is not None:
        values["expires_after_minutes"] = wanted.expires_after_minutes
        values["expires_at"] = table.c.last_active_at + wanted.expires_after_minutes * 60
    running = (table.c.id == container_id, table.c.status == ContainerStatus.RUNNING.value)
    if not values:
        row = (await connection.execute(select(table).where(*running))).one_or_none()
    else:
        row = (
            await connection.execute(update(table).where(*running).values(**values).returning(*table.c))
        ).one_or_none()
    return None if row is None else _read(row)


async def behind(connection: Connection, sandboxes: Collection[SandboxId]) -> dict[SandboxId, Container]:
    """Give the container of each of ``sandboxes`` that has one."""
    wanted = sorted(sandboxes)
    found: dict[SandboxId, Container] = {}
    for start in range(0, len(wanted), _IDS_PER_QUERY):
        part = wanted[start : start + _IDS_PER_QUERY]
        rows = await connection.execute(select(table).where(table.c.sandbox_id.in_(part)))
        found |= {SandboxId(row.sandbox_id): _read(row) for row in rows}
    return found


async def remove(connection: Connection, project_id: ProjectId, container_id: ContainerId) -> Container | None:
    """Remove a row and its files' rows; gives what it was, or ``None`` when there was none."""
    query = delete(table).where(table.c.id == container_id, table.c.project_id == project_id).returning(*table.c)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else _read(row)


async def replace_sandbox(
    connection: Connection, container_id: ContainerId, old: SandboxId | None, new: SandboxId
) -> bool:
    """Put another sandbox behind a running container, if ``old`` is still the one behind it."""
    query = (
        update(table)
        .where(
            table.c.id == container_id,
            table.c.status == ContainerStatus.RUNNING.value,
            table.c.sandbox_id == old,
        )
        .values(sandbox_id=new)
    )
    return (await connection.execute(query)).rowcount == 1


async def touch(connection: Connection, active_at: Mapping[ContainerId, int]) -> None:
    """Move ``last_active_at`` of running containers forward (unix seconds); never backwards."""
    if not active_at:
        return
    moment = bindparam("moment", type_=table.c.last_active_at.type)
    query = (
        update(table)
        .where(
            table.c.id == bindparam("container"),
            table.c.status == ContainerStatus.RUNNING.value,
            table.c.last_active_at < moment,
        )
        .values(last_active_at=moment, expires_at=moment + table.c.expires_after_minutes * 60)
    )
    # In the order of ids, so that two writers on PostgreSQL cannot wait for each other.
    rows = [{"container": key, "moment": value} for key, value in sorted(active_at.items())]
    await connection.execute(query, rows)


async def due(connection: Connection, now: int, rows_max: int) -> tuple[Container, ...]:
    """Give running containers whose time is over at ``now``, the longest overdue first."""
    query = (
        select(table)
        .where(table.c.status == ContainerStatus.RUNNING.value, table.c.expires_at <= now)
        .order_by(table.c.expires_at)
        .limit(rows_max)
    )
    return tuple(_read(row) for row in await connection.execute(query))


async def soon_due(
    connection: Connection, now: int, seconds_max: int, seconds_per_minute: int
) -> tuple[Container, ...]:
    """Give running containers whose time will be over in at most ``seconds_max``, and in at most
    ``seconds_per_minute`` for each minute that they may be idle.
    """
    query = select(table).where(
        table.c.status == ContainerStatus.RUNNING.value,
        table.c.expires_at > now,
        table.c.expires_at <= now + seconds_max,
        table.c.expires_at <= now + table.c.expires_after_minutes * seconds_per_minute,
    )
    return tuple(_read(row) for row in await connection.execute(query))


async def expire(connection: Connection, container_id: ContainerId, now: int) -> tuple[SandboxId | None] | None:
    """Mark a container expired if it runs and its time is over at ``now``; its files' rows go.

    Gives the sandbox that stood behind it, in a tuple of one, or ``None`` when nothing was marked.
    """
    row = (
        await connection.execute(
            select(table.c.sandbox_id)
            .where(
                table.c.id == container_id,
                table.c.status == ContainerStatus.RUNNING.value,
                table.c.expires_at <= now,
            )
            .with_for_update()
        )
    ).one_or_none()
    if row is None:
        return None
    await connection.execute(
        update(table).where(table.c.id == container_id).values(status=ContainerStatus.EXPIRED.value, sandbox_id=None)
    )
    await connection.execute(delete(container_files).where(container_files.c.container_id == container_id))
    return (row.sandbox_id,)


async def forget_expired(connection: Connection, before: int, rows_max: int) -> int:
    """Remove rows that expired at or before ``before`` (unix second); gives how many."""
    old = (
        select(table.c.id)
        .where(table.c.status == ContainerStatus.EXPIRED.value, table.c.expires_at <= before)
        .order_by(table.c.expires_at)
        .limit(rows_max)
    )
    return (await connection.execute(delete(table).where(table.c.id.in_(old)))).rowcount


async def newest_id(connection: Connection) -> str | None:
    """Give the largest id there is."""
    newest: str | None = (await connection.execute(select(sql.max(table.c.id)))).scalar_one()
    return newest


def _write_policy(policy: NetworkPolicy) -> str:
    return json.dumps(policy_to_json(policy))


@lru_cache(maxsize=64)
def _read_policy(text: str) -> NetworkPolicy:
    return policy_from_json(json.loads(text))


def _read(row: Row[Any]) -> Container:
    return Container(
        id=ContainerId(row.id),
        project_id=ProjectId(row.project_id),
        name=row.name,
        created_at=row.created_at,
        last_active_at=row.last_active_at,
        expires_after_minutes=row.expires_after_minutes,
        memory_limit=MemoryLimit(row.memory_limit),
        network_policy=_read_policy(row.network_policy),
        status=ContainerStatus(row.status),
        sandbox_id=None if row.sandbox_id is None else SandboxId(row.sandbox_id),
    )
