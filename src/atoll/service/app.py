"""All services put together on one database, one store of blobs and one runtime."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from atoll.blobs.blobs import Blobs
from atoll.blobs.location import open_blobs
from atoll.model.ids import IdGenerator, created_at_ns
from atoll.runtime.contract import Runtime
from atoll.service.access import Access
from atoll.service.activity import Activity
from atoll.service.answer_room import AnswerRoom, one_answer_bytes_max
from atoll.service.archives import Archives
from atoll.service.calls import Calls
from atoll.service.container_files import ContainerFiles
from atoll.service.containers import Containers
from atoll.service.contents import Contents
from atoll.service.egress import Egress, Feed
from atoll.service.event_streams import EventStreams
from atoll.service.events import Events
from atoll.service.files import Files
from atoll.service.keys import Keys
from atoll.service.limits import ServiceLimits
from atoll.service.processes import Processes
from atoll.service.sandboxes import Sandboxes
from atoll.service.secrets import Secrets
from atoll.service.signals import Signals
from atoll.service.stats import Stats
from atoll.service.terminals import Terminals
from atoll.store import container_files, containers, egress_decisions, files
from atoll.store.database import Database, open_database
from atoll.vault.key import VaultKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that the API calls; below ``limits``, what the reconcilers need besides."""

    containers: Containers
    container_files: ContainerFiles
    archives: Archives
    files: Files
    egress: Egress
    calls: Calls
    processes: Processes
    terminals: Terminals
    event_streams: EventStreams
    stats: Stats
    answers: AnswerRoom
    keys: Keys
    limits: ServiceLimits

    database: Database
    blobs: Blobs
    activity: Activity
    events: Events
    sandboxes: Sandboxes
    signals: Signals


@asynccontextmanager
async def open_services(
    *,
    database_url: str,
    blobs_url: str,
    runtime: Runtime,
    limits: ServiceLimits,
    clock: Callable[[], float] = time.time,
    vault_key: VaultKey | None = None,
    egress_feed: Feed | None = None,
) -> AsyncIterator[Services]:
    """Open (and bring up to date) the database and give the services; close all of it at the end.

    ``database_url`` is SQLAlchemy's (``sqlite:////absolute/path`` or ``postgresql+asyncpg://…``),
    ``blobs_url`` any of obstore's (``file:///absolute/folder``, ``s3://bucket/prefix``). ``clock`` gives unix seconds.
    ``egress_feed`` tells what was let out; without a ``vault_key`` no secret is taken. The runtime stays the caller's:
    it is not closed here. Reconcilers are run beside it by ``atoll.reconcile.loop.reconciling(services)``. One process
    at a time: another one on the same database would take this one's sandboxes for orphans.
    """
    blobs = open_blobs(blobs_url)
    async with open_database(database_url) as database:
        ids = await _ids(database, clock)
        services = _put_together(
            database=database,
            blobs=blobs,
            ids=ids,
            runtime=runtime,
            limits=limits,
            clock=clock,
            secrets=Secrets(vault_key, limits),
            egress_feed=egress_feed,
        )
        try:
            async with services.egress.hearing(), services.stats.sampling():
                yield services
        finally:
            await services.sandboxes.aclose()
            await services.activity.flush()


async def _ids(database: Database, clock: Callable[[], float]) -> IdGenerator:
    """Make ids that sort after every one there is, even when the clock was set back meanwhile."""
    newest = 0
    container = await database.read(containers.newest_id)
    if container is not None:
        newest = max(newest, created_at_ns("cntr_", container))
    container_file = await database.read(container_files.newest_id)
    if container_file is not None:
        newest = max(newest, created_at_ns("cfile_", container_file))
    decision = await database.read(egress_decisions.newest_id)
    if decision is not None:
        newest = max(newest, created_at_ns("egr_", decision))
    file = await database.read(files.newest_id)
    if file is not None:
        newest = max(newest, created_at_ns("file-", file))
    return IdGenerator(lambda: int(clock() * 1_000_000_000), not_before_ns=newest)


def _put_together(
    *,
    database: Database,
    blobs: Blobs,
    ids: IdGenerator,
    runtime: Runtime,
    limits: ServiceLimits,
    clock: Callable[[], float],
    secrets: Secrets,
    egress_feed: Feed | None,
) -> Services:
    signals = Signals()
    activity = Activity(database, signals, clock)
    access = Access(database, activity)
    sandboxes = Sandboxes(runtime, database, limits, signals, secrets.forget)
    events = Events(clock)
    contents = Contents(database, ids, limits, events)
    egress = Egress(database=database, ids=ids, access=access, limits=limits, events=events, feed=egress_feed)
    project_files = Files(database=database, blobs=blobs, ids=ids, activity=activity, limits=limits)
    return Services(
        containers=Containers(
            database=database,
            ids=ids,
            activity=activity,
            access=access,
            sandboxes=sandboxes,
            contents=contents,
            files=project_files,
            secrets=secrets,
            limits=limits,
            events=events,
        ),
        container_files=ContainerFiles(
            database=database,
            access=access,
            sandboxes=sandboxes,
            contents=contents,
            files=project_files,
            limits=limits,
            events=events,
        ),
        archives=Archives(access=access, sandboxes=sandboxes, contents=contents, limits=limits, events=events),
        files=project_files,
        egress=egress,
        calls=Calls(
            ids=ids,
            access=access,
            sandboxes=sandboxes,
            contents=contents,
            egress=egress,
            secrets=secrets,
            limits=limits,
            events=events,
        ),
        processes=Processes(
            ids=ids,
            access=access,
            sandboxes=sandboxes,
            egress=egress,
            secrets=secrets,
            limits=limits,
            events=events,
        ),
        terminals=Terminals(ids=ids, access=access, sandboxes=sandboxes, secrets=secrets, limits=limits, events=events),
        stats=Stats(access=access, sandboxes=sandboxes, egress=egress, clock=clock),
        event_streams=EventStreams(access=access, events=events, limits=limits),
        answers=AnswerRoom(limits.answers_bytes_max, one_answer_bytes_max(limits.output_bytes_max)),
        keys=Keys(database=database, ids=ids, clock=clock, limits=limits),
        limits=limits,
        database=database,
        blobs=blobs,
        activity=activity,
        events=events,
        sandboxes=sandboxes,
        signals=signals,
    )
