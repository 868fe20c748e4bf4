"""The newest events of one container, in bounded memory; pure."""

from collections import deque
from itertools import islice
from typing import Final

from atoll.model.container_events import ContainerEvent, FileChanged, NetworkRefused, ToldEvent

UNREAD_BYTES_MAX: Final = 16 << 10
READ_BYTES_MAX: Final = 128 << 10
# Two small objects, a number, a moment, half of a call's id: measured on CPython 3.13 and rounded up.
_EVENT_BYTES: Final = 256


class EventRing:
    """Events numbered from 1; the oldest make room for new ones.

    ``bytes_max`` is about what it may hold: some 60 events while nobody ever read them, some 500 from then on.
    """

    __slots__ = ("_bytes", "_events", "bytes_max", "newest")

    def __init__(self, bytes_max: int = UNREAD_BYTES_MAX) -> None:
        self._events: deque[tuple[float, ContainerEvent]] = deque()
        self._bytes = 0
        self.bytes_max = bytes_max
        self.newest = 0

    def add(self, at: float, event: ContainerEvent) -> None:
        """Append one."""
        self.newest += 1
        self._events.append((at, event))
        self._bytes += _size(event)
        while self._bytes > self.bytes_max and len(self._events) > 1:
            self._bytes -= _size(self._events.popleft()[1])

    def __len__(self) -> int:
        return len(self._events)

    @property
    def oldest(self) -> int:
        """The number of the oldest event that is here, or of the next one where none is."""
        return self.newest - len(self._events) + 1

    def after(self, number: int, events_max: int, until: int) -> tuple[int, list[ToldEvent]]:
        """Give how many events after ``number`` are not here any more, and those that follow, ``until`` the last."""
        first = max(number + 1, self.oldest)
        start = first - self.oldest
        found = islice(self._events, start, start + max(0, min(events_max, until - first + 1)))
        return first - number - 1, [ToldEvent(first + index, at, event) for index, (at, event) in enumerate(found)]


def _size(event: ContainerEvent) -> int:
    match event:
        case FileChanged(path=text) | NetworkRefused(name=text):
            return _EVENT_BYTES + 4 * len(text)  # as Python keeps characters at most
        case _:
            return _EVENT_BYTES
