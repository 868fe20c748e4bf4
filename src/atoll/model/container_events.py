"""What happens to a container, as whoever watches it is told; and a piece of what was told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

CallKind = Literal["code_interpreter", "shell", "process", "terminal"]
CallOutcome = Literal["completed", "failed", "timeout", "interrupted", "memory", "deleted", "detached"]
"""``failed`` is a call whose Python or sandbox ended under it; ``detached`` a terminal that goes on by itself."""
FileChange = Literal["created", "modified", "deleted"]
Limit = Literal["memory", "processes", "disk", "output", "time"]


@dataclass(frozen=True, slots=True)
class ContainerCreated:
    """It can be used."""


@dataclass(frozen=True, slots=True)
class ContainerUpdated:
    """``fields`` are the keys of the body that changed it."""

    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ContainerExpiring:
    """It will soon expire, in unix seconds, unless it is used."""

    expires_at: float


@dataclass(frozen=True, slots=True)
class ContainerExpired:
    """Its time is over; nothing comes after this."""


@dataclass(frozen=True, slots=True)
class ContainerDeleted:
    """It is gone; nothing comes after this."""


@dataclass(frozen=True, slots=True)
class CallBegan:
    """A call left the queue, a program was started, or somebody connected to a terminal."""

    call_id: str
    kind: CallKind


@dataclass(frozen=True, slots=True)
class CallFinished:
    """The end of what ``CallBegan`` told of."""

    call_id: str
    kind: CallKind
    outcome: CallOutcome
    duration_ms: int


@dataclass(frozen=True, slots=True)
class FileChanged:
    """``size`` is in bytes, ``None`` for a file that is gone. ``source`` is who changed it."""

    path: str
    change: FileChange
    size: int | None
    source: Literal["user", "assistant"]


@dataclass(frozen=True, slots=True)
class LimitHit:
    """A limit of the container stopped something, or cut it short."""

    limit: Limit
    call_id: str | None


@dataclass(frozen=True, slots=True)
class NetworkRefused:
    """The network policy did not let something out. ``reason`` is one of ``EgressReason``."""

    name: str
    port: int
    reason: str


@dataclass(frozen=True, slots=True)
class EventsMissed:
    """Events that this reader was not told of; 0 where their number cannot be known."""

    count: int


ContainerEvent = (
    ContainerCreated
    | ContainerUpdated
    | ContainerExpiring
    | ContainerExpired
    | ContainerDeleted
    | CallBegan
    | CallFinished
    | FileChanged
    | LimitHit
    | NetworkRefused
)


@dataclass(frozen=True, slots=True)
class ToldEvent:
    """An event with its number among its container's, from 1, and its moment in unix seconds."""

    number: int
    at: float
    event: ContainerEvent


@dataclass(frozen=True, slots=True, eq=False)
class ToldEvents:
    """Some events in order, after the number ``place``. ``missed`` went before them; ``None`` when nothing was missed.

    ``is_last`` says that nothing comes after them. Readers that are at the same place are given the same object.
    """

    place: int
    missed: EventsMissed | None
    events: Sequence[ToldEvent]
    is_last: bool
