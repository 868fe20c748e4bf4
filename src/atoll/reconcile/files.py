"""Uploaded files whose time is over, and bytes that no row names."""

import logging
from functools import partial

from atoll.model.ids import FileId, is_id
from atoll.service.app import Services
from atoll.store import files

_LOG = logging.getLogger(__name__)
_AT_ONCE = 200


async def remove_expired_files(services: Services) -> int:
    """Remove files that are past their ``expires_at``; gives how many. Rows go first, as everywhere."""
    removed = 0
    while True:
        gone = await services.database.write(
            partial(files.remove_expired, now=services.activity.now(), rows_max=_AT_ONCE)
        )
        for file_id in gone:
            await services.blobs.delete(file_id)
        removed += len(gone)
        if len(gone) < _AT_ONCE:
            return removed


async def remove_orphaned_blobs(services: Services) -> int:
    """Remove blobs without a row; gives how many."""
    removed = 0
    batch: list[FileId] = []
    async for name in services.blobs.names():
        if not is_id("file-", name):
            continue  # not ours: a bucket may be shared
        batch.append(FileId(name))
        if len(batch) == _AT_ONCE:
            removed += await _remove_orphans(services, batch)
            batch = []
    return removed + await _remove_orphans(services, batch)


async def _remove_orphans(services: Services, listed: list[FileId]) -> int:
    # What is arriving is left out before the rows are read: afterwards it either has its row or is given up.
    settled = set(listed) - services.files.arriving
    named = await services.database.scan(lambda connection: files.existing(connection, settled))
    orphans = sorted(settled - named)
    for orphan in orphans:
        _LOG.warning("the bytes of %s belong to no file; removing them", orphan)
        await services.blobs.delete(orphan)
    return len(orphans)
