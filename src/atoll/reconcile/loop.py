"""Runs the reconcilers beside the server: each on its timer, and at once when a service signals."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

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


@dataclass(frozen=True, slots=True)
class Tally:
    """Turns that ended well, and turns that failed, by the reconciler's name; they only grow."""

    turns: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)


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
async def reconciling(services: Services, chosen: tuple[Reconciler, ...] | None = None) -> AsyncIterator[Tally]:
    """Run the reconcilers while the body runs; they are ended with it, in the middle of a turn if need be."""
    tally = Tally()
    owner = asyncio.create_task(
        _run_all(services, reconcilers(services) if chosen is None else chosen, tally), name="reconcile"
    )
    try:
        yield tally
    finally:
        owner.cancel()
        with suppress(asyncio.CancelledError):
            await owner


async def _run_all(services: Services, chosen: tuple[Reconciler, ...], tally: Tally) -> None:
    async with asyncio.TaskGroup() as group:
        for reconciler in chosen:
            group.create_task(_run(services, reconciler, tally), name=f"reconcile {reconciler.name}")


async def _run(services: Services, reconciler: Reconciler, tally: Tally) -> None:
    while True:
        # Cleared before the turn: what is signalled while it runs may have come too late for it.
        reconciler.signal.clear()
        await _take_turn(services, reconciler, tally)
        await asyncio.sleep(reconciler.pause_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(reconciler.interval_s):
                await reconciler.signal.wait()


async def _take_turn(services: Services, reconciler: Reconciler, tally: Tally) -> None:
    try:
        await reconciler.turn(services)
    except Exception:  # noqa: BLE001 - whatever it is, the next turn tries again; a reconciler must not stop for good
        tally.failures[reconciler.name] += 1
        _LOG.exception("the reconciler %r failed; it is tried again in its next turn", reconciler.name)
    else:
        tally.turns[reconciler.name] += 1


async def _flush(services: Services) -> None:
    await services.activity.flush()
