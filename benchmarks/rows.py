"""Many containers' rows, written straight into a server's database: a month of a busy service."""

import asyncio
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from atoll.model.containers import Container, ContainerStatus
from atoll.model.ids import ContainerId, IdGenerator, ProjectId, SandboxId, created_at
from atoll.model.memory_limit import MemoryLimit
from atoll.model.network_policy import NETWORK_DISABLED
from atoll.store import containers, projects
from atoll.store.connection import Connection
from atoll.store.database import Database, open_database

COMMON_NAME: Final = "report"
"""What every other container is called."""

_SPAN_S: Final = 29 * 86_400  # less than expired containers are kept
_RUNNING_SHARE: Final = 0.01
_MINUTES: Final = 20
_MINUTES_OF_RUNNING: Final = 43_200
_ROWS_AT_ONCE: Final = 10_000


def fill(database_path: Path, count: int) -> list[ContainerId]:
    """Write ``count`` containers of the first project, oldest first, the newest hundredth of them running.

    No server may have the database open. Gives their ids.
    """
    return asyncio.run(_fill(database_path, count))


async def _fill(database_path: Path, count: int) -> list[ContainerId]:
    async with open_database(f"sqlite:///{database_path}") as database:
        project = await database.read(lambda connection: projects.find_name(connection, "default"))
        if project is None:
            raise LookupError("no server has made its first project in this database yet")
        ids: list[ContainerId] = []
        rows = _rows(project.id, count)
        while batch := list(islice(rows, _ROWS_AT_ONCE)):
            await _add(database, batch)
            ids += [container.id for container in batch]
        return ids


async def _add(database: Database, batch: list[Container]) -> None:
    async def work(connection: Connection) -> None:
        for container in batch:
            await containers.add(connection, container)

    await database.write(work)


def _rows(project_id: ProjectId, count: int) -> Iterator[Container]:
    now_ns = time.time_ns()
    step_ns = _SPAN_S * 1_000_000_000 // max(count, 1)
    moments = iter(range(now_ns - step_ns * count, now_ns, step_ns))
    ids = IdGenerator(lambda: next(moments))
    for number in range(count):
        container_id = ContainerId(ids.new("cntr_"))
        is_running = number >= count * (1 - _RUNNING_SHARE)
        second = created_at("cntr_", container_id)
        yield Container(
            id=container_id,
            project_id=project_id,
            name=COMMON_NAME if number % 2 else f"notebook {number}",
            created_at=second,
            last_active_at=second,
            expires_after_minutes=_MINUTES_OF_RUNNING if is_running else _MINUTES,
            memory_limit=MemoryLimit.ONE_GIB,
            network_policy=NETWORK_DISABLED,
            status=ContainerStatus.RUNNING if is_running else ContainerStatus.EXPIRED,
            sandbox_id=SandboxId(f"sbx_{number:032x}") if is_running else None,
        )
