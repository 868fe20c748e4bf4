"""Containers whose time is over: marked expired, their sandboxes removed; rows that expired long ago forgotten."""

import logging
from functools import partial

from atoll.model.container_events import ContainerExpired
from atoll.model.containers import Container, ContainerStatus
from atoll.reconcile.abreast import abreast
from atoll.service.app import Services
from atoll.store import containers

_LOG = logging.getLogger(__name__)
_ROWS_AT_ONCE = 200
_SECONDS_PER_DAY = 86_400
_WARNED_BEFORE_S_MAX = 60
_WARNED_BEFORE_S_PER_MINUTE = 60 // 5


async def expire_containers(services: Services) -> int:
    """Expire every container that is due; gives how many.

    The row goes first: a sandbox that is left when the server dies here has no row, and is removed as an orphan.
    """
    # First what is known of use: nothing that was used lately, or is in use, is due in the store afterwards.
    await services.activity.flush()
    expired = 0
    while True:
        due = await services.database.scan(partial(containers.due, now=services.activity.now(), rows_max=_ROWS_AT_ONCE))
        marked = await abreast(partial(_expire, services), due)
        expired += sum(marked)
        if len(due) < _ROWS_AT_ONCE or not any(marked):
            return expired


async def tell_expiring(services: Services) -> int:
    """Tell of every container in its last minute, or in the last fifth of its time where that is less; gives how many
    there are.
    """
    now = services.activity.now()
    rows = await services.database.scan(
        lambda connection: containers.soon_due(connection, now, _WARNED_BEFORE_S_MAX, _WARNED_BEFORE_S_PER_MINUTE)
    )
    told = 0
    for row in rows:
        seen = services.activity.seen(row)
        # Not one that was used since it was written: it is here again when its time comes.
        if seen.status is ContainerStatus.RUNNING and seen.expires_at == row.expires_at:
            services.events.tell_expiring(seen.id, float(seen.expires_at))
            told += 1
    return told


async def forget_expired(services: Services) -> int:
    """Remove the rows of containers that expired longer ago than they are kept; gives how many."""
    before = services.activity.now() - services.limits.expired_retention_days * _SECONDS_PER_DAY
    forgotten = 0
    while True:
        count = await services.database.write(
            lambda connection: containers.forget_expired(connection, before, _ROWS_AT_ONCE)
        )
        forgotten += count
        if count < _ROWS_AT_ONCE:
            return forgotten


async def _expire(services: Services, container: Container) -> bool:
    if services.activity.seen(container).status is ContainerStatus.RUNNING:
        return False  # used since it was read
    now = services.activity.now()
    marked = await services.database.write(lambda connection: containers.expire(connection, container.id, now))
    if marked is None:
        return False
    services.activity.forget(container.id)
    services.events.end(container.id, ContainerExpired())
    _LOG.info("%s expired", container.id)
    (sandbox_id,) = marked
    if sandbox_id is not None:
        await services.sandboxes.discard(sandbox_id)
    return True
