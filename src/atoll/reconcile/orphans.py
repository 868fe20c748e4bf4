"""Sandboxes that no row names: left by a server that died, or by a removal that failed."""

import logging

from atoll.model.errors import SandboxFailedError
from atoll.reconcile.abreast import abreast
from atoll.service.app import Services
from atoll.store import containers

_LOG = logging.getLogger(__name__)


async def remove_orphans(services: Services) -> int:
    """Remove every sandbox without a row; gives how many.

    The order is what makes it safe: sandboxes are looked at first, then those being made are waited for, and only
    then the rows are read. One whose row is missing then has been given up, or never had one.
    """
    try:
        observed = await services.sandboxes.observe()
    except SandboxFailedError:
        services.signals.orphans.set()  # nothing is known of what a supervisor that just died was making
        raise
    named = await services.database.scan(lambda connection: containers.behind(connection, observed))
    orphans = sorted(observed - named.keys())
    for orphan in orphans:
        _LOG.warning("sandbox %s belongs to no container; removing it", orphan)
    await abreast(services.sandboxes.discard, orphans)
    return len(orphans)
