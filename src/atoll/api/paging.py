"""Pages: what a list's query asks for, and how a page is written."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol, TypedDict, cast

from atoll.api.explain import above_max, below_min, unsupported_value, wrong_type
from atoll.model.errors import InvalidRequestError
from atoll.model.ids import Prefix, is_id
from atoll.model.pages import Order, PageQuery

NAMES: Final = ("limit", "order", "after")
_DIGITS_MAX: Final = 1_000


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


class _PageFields(TypedDict):
    first_id: str | None
    last_id: str | None
    has_more: bool


def page_query(given: Mapping[str, str], *, ids: Prefix, limit_default: int = 20, limit_max: int = 100) -> PageQuery:
    """Read ``limit``, ``order`` and ``after``; ``ids`` is the prefix that a cursor must have.

    Raises ``InvalidRequestError``.
    """
    return PageQuery(
        limit=_limit(given["limit"], limit_max) if "limit" in given else limit_default,
        order=_order(given["order"]) if "order" in given else "desc",
        after=_after(given["after"], ids) if given.get("after") else None,
    )


def page_fields(data: Sequence[_HasId], *, has_more: bool) -> _PageFields:
    """Give the three keys that tell where a page stands."""
    return {
        "first_id": data[0].id if data else None,
        "last_id": data[-1].id if data else None,
        "has_more": has_more,
    }


def _limit(text: str, most: int) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise wrong_type("limit", "an integer", "a string")
    if len(digits) > _DIGITS_MAX:  # int() would be slow, then refuse
        raise wrong_type("limit", "an integer", f"a number with more than {_DIGITS_MAX} digits")
    value = int(text)
    if value > most:
        raise above_max("limit", value, most)
    if value < 1:
        raise below_min("limit", value, 1)
    return value


def _order(text: str) -> Order:
    if text not in ("asc", "desc"):
        raise unsupported_value("order", text, ("asc", "desc"))
    return cast("Order", text)


def _after(text: str, prefix: Prefix) -> str:
    if not is_id(prefix, text):
        raise InvalidRequestError(
            f"Invalid 'after': expected the id of an item of this list ('{prefix}…').",
            param="after",
            code="invalid_value",
        )
    return text
