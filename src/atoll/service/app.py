"""All services put together on one database, one store of blobs and one runtime."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from atoll.runtime.contract import Runtime
from atoll.service.calls import Calls
from atoll.service.container_files import ContainerFiles
from atoll.service.containers import Containers
from atoll.service.files import Files
from atoll.service.keys import Keys
from atoll.service.limits import ServiceLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that the API calls."""

    containers: Containers
    container_files: ContainerFiles
    files: Files
    calls: Calls
    keys: Keys
    limits: ServiceLimits


@asynccontextmanager
async def open_services(
    *,
    database_url: str,
    blobs_url: str,
    runtime: Runtime,
    limits: ServiceLimits,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[Services]:
    """Open (and bring up to date) the database and give the services; close all of it at the end.

    ``database_url`` is SQLAlchemy's (``sqlite+aiosqlite:////absolute/path`` or ``postgresql+asyncpg://…``),
    ``blobs_url`` any of obstore's (``file:///absolute/folder``, ``s3://bucket/prefix``). ``clock`` gives unix seconds.
    The runtime stays the caller's: it is not closed here. Reconcilers are run beside it by
    ``atoll.reconcile.loop.reconciling(services)``.
    """
    raise NotImplementedError
    yield
