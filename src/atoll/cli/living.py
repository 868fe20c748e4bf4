"""Finding the containers that live among those that are listed, which for weeks are expired ones, too."""

from typing import Any, Final

from atoll.cli.connection import Connection

LISTED_MAX: Final = 10_000
"""How many of both are looked through, the newest first."""


class Living:
    """Looks again and again. What has expired never lives again: a later look goes back no further than it must."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._since = 0

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """Give the newest living containers, at most so many."""
        found: list[dict[str, Any]] = []
        newest_at = 0
        for item in self._connection.pages("/containers", LISTED_MAX):
            newest_at = newest_at or item["created_at"]
            if item["created_at"] < self._since:
                break
            if item["status"] != "expired":
                found.append(item)
                if len(found) == limit:
                    return found  # there may be more behind these, for when one of them ends
        self._since = found[-1]["created_at"] if found else newest_at
        return found
