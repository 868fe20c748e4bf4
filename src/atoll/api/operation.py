"""What a route promises, kept beside its handler; the OpenAPI document is made of these."""

from dataclasses import dataclass
from typing import Any, Final, Literal

OPERATION: Final = "operation"
"""Key in a handler's ``opt``: its ``Operation``. Every route has one; the document cannot be built otherwise."""

NOT_IN_DOCUMENT: Final = "not_in_document"
"""Key in the ``opt`` of handlers that are no part of the API: pages and their files."""

Tag = Literal["Containers", "Container files", "Files", "Running code", "Service"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A query or header parameter; ``schema`` is JSON Schema."""

    name: str
    description: str
    schema: dict[str, Any]
    where: Literal["query", "header"] = "query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A multipart body; ``properties`` are JSON Schemas."""

    properties: dict[str, dict[str, Any]]
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A body that is bytes."""

    media_type: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """An answer that is not JSON."""

    media_type: str
    description: str
    binary: bool = False
    ranges: bool = False


@dataclass(frozen=True, slots=True)
class EventAnswer:
    """An answer that is always a stream of events; ``kind`` is the msgspec type of their data."""

    kind: Any
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method on one path.

    ``body`` and ``answer`` are msgspec types, the latter also ``Raw`` or ``EventAnswer``; ``stream`` is the type of the
    events when the body asks for a stream. ``errors`` are statuses beside those that every
    route of its kind can have.
    """

    id: str
    tag: Tag
    summary: str
    answer: Any
    description: str = ""
    query: tuple[Parameter, ...] = ()
    body: Any = None
    form: Form | None = None
    upload: Upload | None = None
    stream: Any = None
    errors: tuple[int, ...] = ()
    public: bool = False


def paging_parameters(what: str, *, limit_default: int = 20, limit_max: int = 100) -> tuple[Parameter, ...]:
    """Give ``limit``, ``order`` and ``after`` of a list."""
    return (
        Parameter(
            name="limit",
            description=f"How many {what} to give at most.",
            schema={"type": "integer", "minimum": 1, "maximum": limit_max, "default": limit_default},
        ),
        Parameter(
            name="order",
            description="By creation: oldest first (`asc`) or newest first (`desc`).",
            schema={"type": "string", "enum": ["asc", "desc"], "default": "desc"},
        ),
        Parameter(
            name="after",
            description="The id of the last item of the page before; it need not exist any more.",
            schema={"type": "string"},
        ),
    )
