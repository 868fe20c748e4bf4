"""Why a JSON body does not fit its type, in the hosted service's words.

msgspec decides whether a body fits; only when it does not is the body looked at again here, beside the type, to
find the first thing that is wrong and to name it as people wrote it: ``expires_after.minutes``, ``file_ids[3]``.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from msgspec import inspect

from atoll.model.errors import InvalidRequestError

_SHOWN_CHARS_MAX: Final = 100
_NAMES: Final[Mapping[type, str]] = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal number",
    str: "a string",
    list: "an array",
}


@lru_cache(maxsize=64)
def _type_of(kind: object) -> inspect.Type:
    return inspect.type_info(kind)


def explain(value: object, kind: object) -> InvalidRequestError | None:
    """Give the first thing in ``value`` that does not fit ``kind``, or ``None`` when nothing is seen."""
    if not isinstance(value, dict):
        return InvalidRequestError(
            f"Invalid body: expected a JSON object, but got {name_of(value)} instead.", code="invalid_type"
        )
    return _look(value, _type_of(kind), "")


def find_nul(value: object, path: str = "") -> InvalidRequestError | None:
    """Give an error for the first string with a NUL character: no name, path or program can hold one."""
    if isinstance(value, str):
        return None if "\0" not in value else _nul(path)
    if isinstance(value, dict):
        children = [(_under(path, key), child) for key, child in value.items()]
    elif isinstance(value, list):
        children = [(f"{path}[{index}]", child) for index, child in enumerate(value)]
    else:
        return None
    return next((found for where, child in children if (found := find_nul(child, where))), None)


def name_of(value: object) -> str:
    """Name a JSON value's type as the hosted service does."""
    return _NAMES.get(type(value), "an object")


def unsupported_value(param: str, value: str, supported: tuple[str, ...]) -> InvalidRequestError:
    """Say that a word is none of those that can stand there."""
    return InvalidRequestError(
        f"Invalid value: '{_shown(value)}'. Supported values are: {_listed(supported, 'and')}.",
        param=param,
        code="invalid_value",
    )


def above_max(param: str, got: int, most: int) -> InvalidRequestError:
    """Say that a number is too large."""
    return InvalidRequestError(
        f"Invalid '{param}': integer above maximum value. Expected a value <= {most}, but got {_number(got)} instead.",
        param=param,
        code="integer_above_max_value",
    )


def below_min(param: str, got: int, least: int) -> InvalidRequestError:
    """Say that a number is too small."""
    return InvalidRequestError(
        f"Invalid '{param}': integer below minimum value. Expected a value >= {least}, but got {_number(got)} instead.",
        param=param,
        code="integer_below_min_value",
    )


def missing(param: str, hint: str = "") -> InvalidRequestError:
    """Say that a field is needed."""
    return InvalidRequestError(
        f"Missing required parameter: '{param}'.{hint}", param=param, code="missing_required_parameter"
    )


def unknown(param: str) -> InvalidRequestError:
    """Say that there is no such field."""
    return InvalidRequestError(f"Unknown parameter: '{_shown(param)}'.", param=param, code="unknown_parameter")


def wrong_type(param: str, expected: str, got: str) -> InvalidRequestError:
    """Say that a field holds another kind of value."""
    return InvalidRequestError(
        f"Invalid type for '{param}': expected {expected}, but got {got} instead.", param=param, code="invalid_type"
    )


def _look(value: object, kind: inspect.Type, path: str) -> InvalidRequestError | None:
    kind = _bare(kind)
    look = _LOOKS.get(type(kind))
    return look(value, kind, path) if look is not None else None


def _bare(kind: inspect.Type) -> inspect.Type:
    """Take off what only describes a type."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def _look_union(value: object, kind: inspect.UnionType, path: str) -> InvalidRequestError | None:
    if value is None and any(isinstance(member, inspect.NoneType) for member in kind.types):
        return None
    members = [_bare(member) for member in kind.types if not isinstance(member, inspect.NoneType)]
    if len(members) == 1:
        return _look(value, members[0], path)
    structs = [member for member in members if isinstance(member, inspect.StructType)]
    if not isinstance(value, dict):
        return wrong_type(path, "an object", name_of(value))
    return _look_tagged(value, structs, path)


def _look_tagged(value: dict[str, Any], structs: list[inspect.StructType], path: str) -> InvalidRequestError | None:
    """Choose among structs by the word in their tag field."""
    tag_field = next(struct.tag_field for struct in structs if struct.tag_field is not None)
    where = _under(path, tag_field)
    tags = {str(struct.tag): struct for struct in structs}
    if tag_field not in value:
        return missing(where)
    tag = value[tag_field]
    if not isinstance(tag, str):
        return wrong_type(where, f"one of {_listed(tuple(tags), 'or')}", name_of(tag))
    if tag not in tags:
        return unsupported_value(where, tag, tuple(tags))
    return _look_struct(value, tags[tag], path)


def _look_struct(value: object, kind: inspect.StructType, path: str) -> InvalidRequestError | None:
    if not isinstance(value, dict):
        return wrong_type(path, "an object", name_of(value))
    fields = {field.encode_name: field for field in kind.fields}
    if kind.forbid_unknown_fields:
        for key in value:
            if key not in fields and key != kind.tag_field:
                return unknown(_under(path, key))
    for name, field in fields.items():
        where = _under(path, name)
        if name not in value:
            if field.required:
                return missing(where)
        elif found := _look(value[name], field.type, where):
            return found
    return None


def _look_list(value: object, kind: inspect.ListType, path: str) -> InvalidRequestError | None:
    if not isinstance(value, list):
        return wrong_type(path, "an array", name_of(value))
    if kind.min_length is not None and len(value) < kind.min_length:
        return InvalidRequestError(
            f"Invalid '{path}': empty array. Expected an array with minimum length {kind.min_length}, "
            "but got an empty array instead.",
            param=path,
            code="empty_array",
        )
    for index, item in enumerate(value):
        if found := _look(item, kind.item_type, f"{path}[{index}]"):
            return found
    return None


def _look_dict(value: object, kind: inspect.DictType, path: str) -> InvalidRequestError | None:
    if not isinstance(value, dict):
        return wrong_type(path, "an object", name_of(value))
    found = (_look(item, kind.value_type, _under(path, name)) for name, item in value.items())
    return next((error for error in found if error is not None), None)


def _look_literal(value: object, kind: inspect.LiteralType, path: str) -> InvalidRequestError | None:
    words = tuple(sorted((str(word) for word in kind.values), key=lambda word: (len(word), word)))  # 4g before 16g
    if not isinstance(value, str):
        expected = f"one of {_listed(words, 'or')}" if len(words) > 1 else f"the string '{words[0]}'"
        return wrong_type(path, expected, name_of(value))
    return None if value in words else unsupported_value(path, value, words)


def _look_str(value: object, kind: inspect.StrType, path: str) -> InvalidRequestError | None:
    if not isinstance(value, str):
        return wrong_type(path, "a string", name_of(value))
    if kind.min_length is not None and len(value) < kind.min_length:
        return InvalidRequestError(
            f"Invalid '{path}': empty string. Expected a string with minimum length {kind.min_length}, "
            "but got an empty string instead.",
            param=path,
            code="empty_string",
        )
    if kind.max_length is not None and len(value) > kind.max_length:
        return InvalidRequestError(
            f"Invalid '{path}': string too long. Expected a string with maximum length {kind.max_length}, "
            f"but got a string with length {len(value)} instead.",
            param=path,
            code="string_above_max_length",
        )
    return None


def _look_int(value: object, kind: inspect.IntType, path: str) -> InvalidRequestError | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return wrong_type(path, "an integer", name_of(value))
    if kind.ge is not None and value < kind.ge:
        return below_min(path, value, kind.ge)
    if kind.le is not None and value > kind.le:
        return above_max(path, value, kind.le)
    return None


def _look_bool(value: object, _: inspect.BoolType, path: str) -> InvalidRequestError | None:
    return None if isinstance(value, bool) else wrong_type(path, "a boolean", name_of(value))


_LOOKS: Final[Mapping[type[inspect.Type], Callable[[object, Any, str], InvalidRequestError | None]]] = {
    inspect.UnionType: _look_union,
    inspect.StructType: _look_struct,
    inspect.ListType: _look_list,
    inspect.DictType: _look_dict,
    inspect.LiteralType: _look_literal,
    inspect.StrType: _look_str,
    inspect.IntType: _look_int,
    inspect.BoolType: _look_bool,
}


def _nul(path: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"Invalid '{path}': the string holds the NUL character (U+0000), which cannot be used.",
        param=path,
        code="invalid_value",
    )


def _under(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS_MAX else text[:_SHOWN_CHARS_MAX] + "…"


def _number(value: int) -> str:
    """Write a number; one with more digits than anybody reads is only called what it is."""
    return str(value) if abs(value) < 10**30 else "a number with more than 30 digits"


def _listed(words: tuple[str, ...], conjunction: str) -> str:
    quoted = [f"'{word}'" for word in words]
    if len(quoted) <= 2:
        return f" {conjunction} ".join(quoted)
    return f"{', '.join(quoted[:-1])}, {conjunction} {quoted[-1]}"
