"""Checks of what callers send, with the hosted service's words for what is wrong."""

from atoll.model.errors import InvalidRequestError
from atoll.model.ids import Prefix, is_id
from atoll.model.pages import PageQuery


def check_integer(param: str, value: int, low: int, high: int) -> None:
    """Raise ``InvalidRequestError`` unless ``low <= value <= high``."""
    if value > high:
        raise InvalidRequestError(
            f"Invalid '{param}': integer above maximum value. Expected a value <= {high}, but got {value} instead.",
            param=param,
            code="integer_above_max_value",
        )
    if value < low:
        raise InvalidRequestError(
            f"Invalid '{param}': integer below minimum value. Expected a value >= {low}, but got {value} instead.",
            param=param,
            code="integer_below_min_value",
        )


def integer_or(default: int, param: str, asked: int | None, low: int, high: int) -> int:
    """Give what was asked for, or the default where nothing was. Raises as ``check_integer`` does."""
    if asked is None:
        return default
    check_integer(param, asked, low, high)
    return asked


def check_text(param: str, text: str, *, chars_max: int | None = None, bytes_max: int | None = None) -> None:
    """Raise ``InvalidRequestError`` for text that is too long, has a zero character, or is not Unicode."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidRequestError(
            f"Invalid '{param}': the text holds half of a surrogate pair, which is no character.", param=param
        ) from None
    if chars_max is not None and len(text) > chars_max:
        raise _too_long(param, f"length {chars_max}", f"length {len(text)}")
    if bytes_max is not None and size > bytes_max:
        raise _too_long(param, f"length {bytes_max} bytes", f"{size} bytes")
    if "\0" in text:
        raise InvalidRequestError(f"Invalid '{param}': the text holds a zero character.", param=param)


def check_count(param: str, count: int, count_max: int) -> None:
    """Raise ``InvalidRequestError`` for a list that is too long."""
    if count > count_max:
        raise InvalidRequestError(
            f"Invalid '{param}': array too long. Expected an array with maximum length {count_max}, "
            f"but got an array with length {count} instead.",
            param=param,
            code="array_above_max_length",
        )


def check_page(query: PageQuery, prefix: Prefix, limit_max: int) -> None:
    """Raise ``InvalidRequestError`` for a limit out of range or a cursor that is no id of this kind."""
    check_integer("limit", query.limit, 1, limit_max)
    if query.after is not None and not is_id(prefix, query.after):
        raise InvalidRequestError(
            f"Invalid 'after': expected an id that begins with '{prefix}', as lists give them.", param="after"
        )


def _too_long(param: str, allowed: str, given: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"Invalid '{param}': string too long. Expected a string with maximum {allowed}, "
        f"but got a string with {given} instead.",
        param=param,
        code="string_above_max_length",
    )
