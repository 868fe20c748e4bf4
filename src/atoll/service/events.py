"""What happens to containers: told by whoever does it, kept for a while, read by whoever watches.

Telling is an append to the container's ring and never waits for a reader: a reader has a place in the ring and nothing
else, finds out at its own pace, and is told how many events it missed when the ring has moved on meanwhile. Readers of
one container are woken one after another, a few at a time, and only then again: what runs beside them must not wait
until hundreds of them were served.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal, Self

from atoll.agent.errors import AgentError, AgentRefusedError
from atoll.model.calls import EndCause
from atoll.model.container_events import (
    CallBegan,
    CallFinished,
    CallKind,
    CallOutcome,
    ContainerDeleted,
    ContainerEvent,
    ContainerExpired,
    ContainerExpiring,
    EventsMissed,
    Limit,
    LimitHit,
    ToldEvents,
)
from atoll.model.errors import ContainerExpiredError, InvalidRequestError
from atoll.model.ids import ContainerId
from atoll.runtime.contract import RuntimeFailure
from atoll.service.access import no_container
from atoll.service.event_ring import READ_BYTES_MAX, EventRing

START: Final = "start"
_BATCH_MAX: Final = 64
_BATCHES_KEPT_MAX: Final = 16
_GATHERING_S: Final = 0.02
# One reader a millisecond: to serve it takes a tenth of that.
_WOKEN_AT_ONCE: Final = 4
_WAKING_PAUSE_S: Final = 0.004
# Calls go on for moments after their container is gone, and tell of their end.
_ENDED_REMEMBERED_MAX: Final = 4096
_NUMBER_DIGITS_MAX: Final = 15
_OUTCOMES: Final[dict[EndCause, CallOutcome]] = {
    "itself": "completed",
    "timeout": "timeout",
    "interrupted": "interrupted",
    "memory": "memory",
    "deleted": "deleted",
}
_LIMITS: Final[dict[EndCause, Limit]] = {"timeout": "time", "memory": "memory"}


class Events:
    """Rings of all containers to which something happened since the server started; belongs to one event loop.

    ``boot`` stands in every event's id: numbers begin anew with each server.
    """

    def __init__(self, clock: Callable[[], float] = time.time, boot: str | None = None) -> None:
        self._clock = clock
        self.boot = secrets.token_hex(4) if boot is None else boot
        self._feeds: dict[ContainerId, _Feed] = {}
        self._ended: dict[ContainerId, ContainerExpired | ContainerDeleted] = {}
        self._is_closed = False

    def __len__(self) -> int:
        """Count the rings."""
        return len(self._feeds)

    def newest(self, container_id: ContainerId) -> int:
        """Give the number of a container's newest event, 0 where there is none."""
        feed = self._feeds.get(container_id)
        return 0 if feed is None else feed.ring.newest

    def tell(self, container_id: ContainerId, event: ContainerEvent) -> None:
        """Note what happened. After a container's end nothing is noted any more."""
        feed = self._feed(container_id)
        if feed is not None:
            feed.add(self._clock(), event)

    def tell_expiring(self, container_id: ContainerId, expires_at: float) -> None:
        """Note that a container will expire; told again only when it is to be at another moment."""
        feed = self._feed(container_id)
        if feed is not None and feed.expiring_at != expires_at:
            feed.expiring_at = expires_at
            feed.add(self._clock(), ContainerExpiring(expires_at))

    def end(self, container_id: ContainerId, event: ContainerExpired | ContainerDeleted) -> None:
        """Note a container's end, and forget what was noted once its readers have read it."""
        feed = self._feeds.pop(container_id, None)
        self._ended[container_id] = event
        if len(self._ended) > _ENDED_REMEMBERED_MAX:
            del self._ended[next(iter(self._ended))]
        if feed is not None:
            feed.is_over = True
            # They are ended with the container, but not before its last event.
            outcome: CallOutcome = "deleted" if isinstance(event, ContainerDeleted) else "failed"
            for call in feed.calls:
                feed.add(self._clock(), call.finished(outcome))
            feed.add(self._clock(), event)

    def tell_refusal(self, container_id: ContainerId, error: RuntimeFailure | AgentError) -> None:
        """Note the limit that kept an agent from taking bytes in, if it was one."""
        if isinstance(error, AgentRefusedError) and error.code == "no_space":
            self.tell(container_id, LimitHit("disk", None))

    def call(self, container_id: ContainerId, call_id: str, kind: CallKind) -> "CallTelling":
        """Tell of a call's beginning and end, around the body."""
        return CallTelling(self, container_id, call_id, kind)

    def call_began(self, call: "CallTelling") -> None:
        """Note a call's beginning."""
        feed = self._feed(call.container_id)
        if feed is not None:
            feed.calls[call] = None
            feed.add(self._clock(), call.began())

    def call_ended(self, call: "CallTelling") -> None:
        """Note a call's end, unless it was told with its container's."""
        feed = self._feeds.get(call.container_id)
        if feed is not None and call in feed.calls:
            del feed.calls[call]
            feed.add(self._clock(), call.finished())

    @contextmanager
    def reading(self, container_id: ContainerId, after: str | None, *, param: str = "after") -> "Iterator[EventReader]":
        """Read a container's events while the body runs: those after the id ``after``, or all that are still here
        after ``start``, or only those from now on.

        Raises ``InvalidRequestError`` (with ``param``) for an id that was never given, ``NotFoundError`` and
        ``ContainerExpiredError`` for a container that ended.
        """
        feed = self._feed(container_id)
        if feed is None:
            if isinstance(self._ended[container_id], ContainerExpired):
                raise ContainerExpiredError
            raise no_container(container_id)
        reader = EventReader(feed, *self._place(feed, after, param))
        feed.welcome(reader)
        if self._is_closed:
            reader.close()
        try:
            yield reader
        finally:
            feed.part(reader)

    def close(self) -> None:
        """End every reader, and those that come later at once."""
        self._is_closed = True
        for feed in self._feeds.values():
            for reader in feed.readers:
                reader.close()

    def _feed(self, container_id: ContainerId) -> "_Feed | None":
        feed = self._feeds.get(container_id)
        if feed is None and container_id not in self._ended:
            feed = self._feeds[container_id] = _Feed()
        return feed

    def _place(self, feed: "_Feed", after: str | None, param: str) -> tuple[int, bool]:
        """Give the number of the event to go on after, and whether some of an unknown number were missed."""
        ring = feed.ring
        if after is None:
            return ring.newest, False
        if after == START:
            return ring.oldest - 1, False
        boot, _, digits = after.partition("-")
        if not (_is_boot(boot) and digits.isascii() and digits.isdigit() and len(digits) <= _NUMBER_DIGITS_MAX):
            raise InvalidRequestError(
                f"Invalid '{param}': expected the id of an event, or '{START}'.", param=param, code="invalid_value"
            )
        if boot != self.boot:
            return ring.oldest - 1, True
        if int(digits) > ring.newest:
            raise InvalidRequestError(
                f"Invalid '{param}': the container has no event of this id yet.", param=param, code="invalid_value"
            )
        return int(digits), False


class CallTelling:
    """One call, told of by ``Events.call``. One that nobody says the end of was interrupted: its client went away."""

    __slots__ = ("_events", "_kind", "_limits", "_outcome", "_since", "call_id", "container_id")

    def __init__(self, events: Events, container_id: ContainerId, call_id: str, kind: CallKind) -> None:
        self._events = events
        self.container_id = container_id
        self.call_id = call_id
        self._kind = kind
        self._outcome: CallOutcome = "interrupted"
        self._limits: set[Limit] | None = None
        self._since = 0.0

    def __enter__(self) -> Self:
        self._since = time.perf_counter()
        self._events.call_began(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._events.call_ended(self)

    def began(self) -> CallBegan:
        """Give the event of its beginning."""
        return CallBegan(self.call_id, self._kind)

    def finished(self, outcome: CallOutcome | None = None) -> CallFinished:
        """Give the event of its end: with the outcome that was said, if not with this one."""
        duration_ms = round((time.perf_counter() - self._since) * 1000)
        return CallFinished(self.call_id, self._kind, outcome or self._outcome, duration_ms)

    def ended(self, cause: EndCause) -> None:
        """Say how it ended."""
        self._outcome = _OUTCOMES.get(cause, "failed")
        if cause in _LIMITS:
            self.limit(_LIMITS[cause])

    def parted(self, outcome: Literal["completed", "detached", "failed"]) -> None:
        """Say how a connection to a terminal ended."""
        self._outcome = outcome

    def limit(self, limit: Limit) -> None:
        """Say that it met a limit; each is told once a call."""
        if self._limits is None:
            self._limits = set()
        if limit not in self._limits:
            self._limits.add(limit)
            self._events.tell(self.container_id, LimitHit(limit, self.call_id))


class EventReader:
    """One place in a ring."""

    def __init__(self, feed: "_Feed", place: int, is_strange: bool) -> None:
        self._feed = feed
        self._place = place
        self._is_strange = is_strange
        self._news = asyncio.Event()
        self._is_closed = False
        self.on_close: Callable[[], None] = lambda: None
        """Called when the server ends, for what waits for something else than for events."""

    @property
    def place(self) -> int:
        """The number of the last event that was given, or of the one before the first."""
        return self._place

    async def next(self, within_s: float) -> ToldEvents | None:
        """Wait for events and give some; ``None`` when nothing happened in time."""
        if not self._has_news:
            self._news.clear()
            try:
                async with asyncio.timeout(within_s):
                    await self._news.wait()
            except TimeoutError:
                return None
        return self._take()

    def wake(self) -> None:
        """Look again."""
        self._news.set()

    def close(self) -> None:
        """End, whatever there is to be read yet."""
        self._is_closed = True
        self._news.set()
        self.on_close()

    @property
    def _has_news(self) -> bool:
        return self._is_strange or self._is_closed or self._feed.visible > self._place

    def _take(self) -> ToldEvents:
        if self._is_closed:
            return ToldEvents(self._place, None, (), is_last=True)
        told = self._feed.after(self._place, is_strange=self._is_strange)
        self._is_strange = False
        self._place += (told.missed.count if told.missed else 0) + len(told.events)
        return told


class _Feed:
    """A container's ring and its readers.

    Readers see what there was when they began to be woken, so that those who are woken last are given the same events
    as the first, written out once for all.
    """

    __slots__ = (
        "_batches",
        "_batches_until",
        "_is_waking",
        "_quiet_until",
        "calls",
        "expiring_at",
        "is_over",
        "readers",
        "ring",
        "visible",
    )

    def __init__(self) -> None:
        self.ring = EventRing()
        self.readers: set[EventReader] = set()
        self.calls: dict[CallTelling, None] = {}
        """Those that run now, in the order in which they began."""
        self.expiring_at = 0.0
        self.is_over = False
        self.visible = 0
        self._is_waking = False
        self._quiet_until = 0.0
        self._batches: dict[int, ToldEvents] = {}
        self._batches_until = 0

    def welcome(self, reader: "EventReader") -> None:
        """Begin to wake a reader."""
        self.ring.bytes_max = READ_BYTES_MAX
        self.readers.add(reader)
        if not self._is_waking:  # then nobody was there to be woken for what is not visible yet
            self.visible = self.ring.newest

    def part(self, reader: "EventReader") -> None:
        """Forget a reader."""
        self.readers.discard(reader)
        if not self.readers:
            self._batches.clear()

    def after(self, place: int, *, is_strange: bool) -> ToldEvents:
        """Give events after a place; the same object to everybody who is there."""
        ring = self.ring
        until = max(self.visible, ring.oldest)
        if until != self._batches_until:
            self._batches.clear()
            self._batches_until = until
        batch = None if is_strange else self._batches.get(place)
        if batch is not None:
            return batch
        count, events = ring.after(place, _BATCH_MAX, until)
        missed = EventsMissed(count) if count or is_strange else None
        is_last = self.is_over and place + count + len(events) == ring.newest
        batch = ToldEvents(place, missed, events, is_last)
        if not is_strange and len(self.readers) > 1 and len(self._batches) < _BATCHES_KEPT_MAX:
            self._batches[place] = batch
        return batch

    def add(self, at: float, event: ContainerEvent) -> None:
        self.ring.add(at, event)
        if self.readers and not self._is_waking:
            self._wake_soon()

    def _wake_soon(self) -> None:
        self._is_waking = True
        loop = asyncio.get_running_loop()
        loop.call_at(max(loop.time(), self._quiet_until), self._wake, loop, [])

    def _wake(self, loop: asyncio.AbstractEventLoop, waiting: "list[EventReader]") -> None:
        """Wake all readers, a few at a time; then those again that went to sleep before what came meanwhile."""
        if not waiting:
            waiting.extend(self.readers)
            self.visible = self.ring.newest
        for reader in waiting[-_WOKEN_AT_ONCE:]:
            reader.wake()
        del waiting[-_WOKEN_AT_ONCE:]
        if waiting:
            loop.call_later(_WAKING_PAUSE_S, self._wake, loop, waiting)
            return
        self._quiet_until = loop.time() + _GATHERING_S
        self._is_waking = False
        if self.ring.newest > self.visible and self.readers:
            self._wake_soon()


def _is_boot(text: str) -> bool:
    return len(text) == 8 and all(character in "0123456789abcdef" for character in text)
