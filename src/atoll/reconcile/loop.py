"""Runs the reconcilers beside the server: each on its timer, and at once when a service signals."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from atoll.model.reconciler_counts import ReconcilerCounts
from atoll.reconcile.expiry import expire_containers, forget_expired, tell_expiring
from atoll.reconcile.files import remove_expired_files, remove_orphaned_blobs
from atoll.reconcile.networks import hold_policies
from atoll.reconcile.orphans import remove_orphans
from atoll.service.app import Services

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reconciler:
    """A function that may run at any time: every ``interval_s`` seconds, and when ``signal`` is set.

    Between two turns there are at least ``pause_s`` seconds: what cannot be done now signals again and again.
    """

    name: str
    turn: Callable[[Services], Awaitable[object]]
    interval_s: float
    signal: asyncio.Event = field(default_factory=asyncio.Event)
    pause_s: float = 1.0


def reconcilers(services: Services) -> tuple[Reconciler, ...]:
    """Give all of them. All run once at the start, which is what puts right the end of the server before."""
    return (
        # A killed server may forget one second of use, not more: half of that is left for the writing.
        Reconciler("activity", _flush, 0.5, pause_s=0),
        Reconciler("expiry", expire_containers, 5, services.signals.expiry),
        Reconciler("expiring", tell_expiring, 5),
        Reconciler("orphans", remove_orphans, 60, services.signals.orphans),
        Reconciler("networks", hold_policies, 3600),
        Reconciler("expired_files", remove_expired_files, 60),
        Reconciler("orphaned_blobs", remove_orphaned_blobs, 3600),
        Reconciler("retention", forget_expired, 3600),
    )


@asynccontextmanager
async def reconciling(
    services: Services, counts: ReconcilerCounts, chosen: tuple[Reconciler, ...] | None = None
) -> AsyncIterator[None]:
    """Run the reconcilers while the body runs; they are ended with it, in the middle of a turn if need be."""
    if chosen is None:
        chosen = reconcilers(services)
    for counter in (counts.turns, counts.failures):
        counter.update({one.name: 0 for one in chosen})  # a first failure is a step up from nothing, and so seen
    owner = asyncio.create_task(_run_all(services, chosen, counts), name="reconcile")
    try:
        yield
    finally:
        owner.cancel()
        with suppress(asyncio.CancelledError):
            await owner


async def _run_all(services: Services, chosen: tuple[Reconciler, ...], counts: ReconcilerCounts) -> None:
    async with asyncio.TaskGroup() as group:
        for reconciler in chosen:
            group.create_task(_run(services, reconciler, counts), name=f"reconcile {reconciler.name}")


async def _run(services: Services, reconciler: Reconciler, counts: ReconcilerCounts) -> None:
    while True:
        # Cleared before the turn: what is signalled while it runs may have come too late for it.
        reconciler.signal.clear()
        await _take_turn(services, reconciler, counts)
        await asyncio.sleep(reconciler.pause_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(reconciler.interval_s):
                await reconciler.signal.wait()


async def _take_turn(services: Services, reconciler: Reconciler, counts: ReconcilerCounts) -> None:
    try:
        await reconciler.turn(services)
    except Exception:  # noqa: BLE001 - whatever it is, the next turn tries again; a reconciler must not stop for good
        counts.failures[reconciler.name] += 1
        _LOG.exception("the reconciler %r failed; it is tried again in its next turn", reconciler.name)
    else:
        counts.turns[reconciler.name] += 1


async def _flush(services: Services) -> None:
    await services.activity.flush()
