"""A container's events, read over breaks of the connection."""

import re
import time
from collections.abc import Iterator
from typing import Any, Final

from atoll.cli.connection import Connection
from atoll.cli.exit_codes import ExitCode
from atoll.cli.failure import fail
from atoll.cli.patience import Patience
from atoll.cli.server_sent_events import read_events

LAST: Final = ("container.expired", "container.deleted")
_START: Final = "start"
_ID: Final = re.compile(r"id: ?([^\s-]+)-([0-9]+)")
_QUIET_S_MAX: Final = 60.0  # the server says something every 15
_PAUSE_S: Final = 1.0


class EventStream:
    """The events of one container, from the oldest that is kept."""

    def __init__(self, connection: Connection, container_id: str) -> None:
        self._connection = connection
        self._path = f"/containers/{container_id}/events"
        self._last_id = _START

    def newest(self) -> int:
        """Give the number of the newest event now, 0 where there was none."""
        with self._opened({}) as response:
            for line in response.iter_lines():
                if found := _ID.match(line):
                    return int(found[2])
        return 0

    def follow(self) -> Iterator[dict[str, Any]]:
        """Give all events until the container ends, connecting again where the connection breaks or nobody answers."""
        patience = Patience()
        while True:
            with patience.trying():
                for event in self._once(patience):
                    yield event
                    if event["type"] in LAST:
                        return
            time.sleep(_PAUSE_S)

    def _once(self, patience: Patience) -> Iterator[dict[str, Any]]:
        with self._opened({"after": self._last_id}) as response:
            patience.heard()
            try:
                for event in read_events(response.iter_lines()):
                    self._last_id = str(event["id"])
                    yield event
            except (ValueError, KeyError):
                fail("The server's stream of events cannot be read.", code=ExitCode.UNREACHABLE)

    def _opened(self, query: dict[str, str]) -> Any:
        import httpx  # noqa: PLC0415 - slow to load

        timeout = httpx.Timeout(_QUIET_S_MAX)
        return self._connection.stream("GET", self._path, params=query, timeout=timeout)


def number_of(event: dict[str, Any]) -> int:
    """Give an event's number; the server counts them for each container."""
    return int(str(event["id"]).rpartition("-")[2])
