"""One page of a list, and the wish for one."""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

T = TypeVar("T")
Order = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageQuery:
    """``after`` is an exclusive cursor: a well-formed id, which need not exist any more."""

    limit: int = 20
    order: Order = "desc"
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Items in the order asked for; ``has_more`` is never true for an empty page."""

    items: tuple[T, ...]
    has_more: bool
