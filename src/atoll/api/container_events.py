"""Events of a container as they are told: the JSON of each, and its frame among server-sent events."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from atoll.model import container_events as model

CallKind = Literal["code_interpreter", "shell", "process", "terminal"]
CallOutcome = Literal["completed", "failed", "timeout", "interrupted", "memory", "deleted", "detached"]


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    id: Annotated[str, Meta(pattern="^[0-9a-f]{8}-[0-9]+$", description="To go on from, as `Last-Event-ID`.")]
    container_id: str
    at: Annotated[float, Meta(description="Unix time in seconds.")]


class ContainerCreated(_Event, frozen=True, kw_only=True, tag="container.created"):
    """The container can be used."""


class ContainerUpdated(_Event, frozen=True, kw_only=True, tag="container.updated"):
    """Fields of the container were changed."""

    fields: list[str]


class ContainerExpiring(_Event, frozen=True, kw_only=True, tag="container.expiring"):
    """It will expire then, unless it is used before."""

    expires_at: Annotated[float, Meta(description="Unix time in seconds.")]


class ContainerExpired(_Event, frozen=True, kw_only=True, tag="container.expired"):
    """Its time is over; the stream ends."""


class ContainerDeleted(_Event, frozen=True, kw_only=True, tag="container.deleted"):
    """It is gone; the stream ends."""


class CallStarted(_Event, frozen=True, kw_only=True, tag="call.started"):
    """A call began to run, or somebody connected to a terminal."""

    call_id: str
    kind: CallKind


class CallEnded(_Event, frozen=True, kw_only=True, tag="call.ended"):
    """It ended."""

    call_id: str
    kind: CallKind
    outcome: CallOutcome
    duration_ms: Annotated[int, Meta(ge=0)]


class FileChanged(_Event, frozen=True, kw_only=True, tag="file.changed"):
    """A file in `/mnt/data` was changed."""

    path: str
    change: Literal["created", "modified", "deleted"]
    bytes: Annotated[int, Meta(ge=0)] | None
    source: Literal["user", "assistant"]


class LimitHit(_Event, frozen=True, kw_only=True, tag="limit.hit"):
    """A limit stopped something or cut it short."""

    limit: Literal["memory", "processes", "disk", "output", "time"]
    call_id: str | None


class NetworkRefused(_Event, frozen=True, kw_only=True, tag="network.refused"):
    """The network policy did not let something out."""

    name: str
    port: int | None
    reason: str


class EventsMissed(_Event, frozen=True, kw_only=True, tag="events.missed"):
    """Events that came before the next one and are not here any more."""

    count: Annotated[int, Meta(ge=0, description="0 where it cannot be known: the server was started anew.")]


ContainerEvent = (
    ContainerCreated
    | ContainerUpdated
    | ContainerExpiring
    | ContainerExpired
    | ContainerDeleted
    | CallStarted
    | CallEnded
    | FileChanged
    | LimitHit
    | NetworkRefused
    | EventsMissed
)


class EventFrames:
    """Writes the events of one container. ``clock`` gives unix seconds."""

    def __init__(self, container_id: str, boot: str, clock: Callable[[], float]) -> None:
        self._container_id = container_id
        self._boot = boot
        self._clock = clock

    def place(self, number: int) -> bytes:
        """Name the event to go on from: who is cut off before the first one knows it then.

        Without an empty line behind it, which would end an event without data: that breaks the OpenAI SDKs' readers.
        """
        return f"id: {self._boot}-{number}\n".encode()

    def batch(self, told: model.ToldEvents) -> bytes:
        """Write some events."""
        return _batch(self._container_id, self._boot, told, self._clock)


@lru_cache(maxsize=64)
def _batch(container_id: str, boot: str, told: model.ToldEvents, clock: Callable[[], float]) -> bytes:
    """Write events once for all readers that are given the same ones: they are woken one after another."""

    def frames() -> Iterator[bytes]:
        if told.missed is not None:
            where = _where(container_id, boot, told.place + told.missed.count, clock())
            yield _frame(EventsMissed(**where, count=told.missed.count))
        for one in told.events:
            yield _frame(_written(one.event, _where(container_id, boot, one.number, one.at)))

    return b"".join(frames())


def _where(container_id: str, boot: str, number: int, at: float) -> dict[str, Any]:
    return {"id": f"{boot}-{number}", "container_id": container_id, "at": at}


def _frame(event: ContainerEvent) -> bytes:
    name = str(event.__struct_config__.tag).encode()
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (event.id.encode(), name, msgspec.json.encode(event))


_BARE: Final[dict[type, type[ContainerCreated | ContainerExpired | ContainerDeleted]]] = {
    model.ContainerCreated: ContainerCreated,
    model.ContainerExpired: ContainerExpired,
    model.ContainerDeleted: ContainerDeleted,
}


def _written(event: model.ContainerEvent, where: dict[str, Any]) -> ContainerEvent:
    written: ContainerEvent
    match event:
        case model.ContainerCreated() | model.ContainerExpired() | model.ContainerDeleted():
            written = _BARE[type(event)](**where)
        case model.ContainerUpdated(fields):
            written = ContainerUpdated(**where, fields=list(fields))
        case model.ContainerExpiring(expires_at):
            written = ContainerExpiring(**where, expires_at=expires_at)
        case model.CallBegan(call_id, kind):
            written = CallStarted(**where, call_id=call_id, kind=kind)
        case model.CallFinished(call_id, kind, outcome, duration_ms):
            written = CallEnded(**where, call_id=call_id, kind=kind, outcome=outcome, duration_ms=duration_ms)
        case model.FileChanged(path, change, size, source):
            written = FileChanged(**where, path=path, change=change, bytes=size, source=source)
        case model.LimitHit(limit, call_id):
            written = LimitHit(**where, limit=limit, call_id=call_id)
        case model.NetworkRefused(name, port, reason):
            written = NetworkRefused(**where, name=name, port=port, reason=reason)
    return written
