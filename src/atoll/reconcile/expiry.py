"""Containers whose time is over: marked expired, their sandboxes removed; rows that expired long ago forgotten."""

import logging
from functools import partial

from atoll.model.containers import Container, ContainerStatus
from atoll.reconcile.abreast import abreast
from atoll.service.app import Services
from atoll.store import containers

_LOG = logging.getLogger(__name__)
_ROWS_AT_ONCE = 200
_SECONDS_PER_DAY = 86_400


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
    _LOG.info("%s expired", container.id)
    (sandbox_id,) = marked
    if sandbox_id is not None:
        await services.sandboxes.discard(sandbox_id)
    return True
