"""Letting time pass for containers without waiting for it."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing

from tests.harness.server import AtollServer


def leave_unused(server: AtollServer, container_ids: Iterable[str], *, minutes: int) -> None:
    """Make a stopped server's containers look as if they had last been used so much earlier.

    This is what a server sees that was away for that time; nothing else is touched.
    """
    with closing(sqlite3.connect(server.data_dir / "atoll.db")) as database, database:
        for container_id in container_ids:
            changed = database.execute(
                "UPDATE containers SET last_active_at = last_active_at - :s, expires_at = expires_at - :s"
                " WHERE id = :id",
                {"s": 60 * minutes, "id": container_id},
            ).rowcount
            assert changed == 1, container_id
