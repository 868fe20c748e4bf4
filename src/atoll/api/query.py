"""Query strings: each known key at most once, unknown keys ignored."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from litestar.types import Scope

from atoll.model.errors import InvalidRequestError

_PAIRS_MAX = 100


def read_query(scope: Scope, *names: str) -> Mapping[str, str]:
    """Give the values of ``names`` that are there. Raises ``InvalidRequestError`` for one that is there twice."""
    raw = scope.get("query_string", b"")
    if not raw:
        return {}
    found: dict[str, str] = {}
    for name, value in _pairs(raw):
        if name not in names:
            continue
        if name in found:
            raise InvalidRequestError(
                f"Duplicate parameter: '{name}'. It can be given once only.", param=name, code="duplicate_parameter"
            )
        if "\0" in value:
            raise InvalidRequestError(
                f"Invalid '{name}': it holds the NUL character (U+0000).", param=name, code="invalid_value"
            )
        found[name] = value
    return found


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=_PAIRS_MAX,
        )
    except (UnicodeDecodeError, ValueError):
        raise InvalidRequestError(
            f"The query string cannot be read: it must be percent-encoded UTF-8 with at most {_PAIRS_MAX} values."
        ) from None
