"""Reading one field of an agent's JSON object: the right type, in range, or ``AgentMisbehavedError``.

Keys that are not asked for are passed over, so that a newer agent can say more.
"""

from collections.abc import Mapping
from typing import Any, Final

from atoll.agent.errors import AgentMisbehavedError
from atoll.guest.protocol import ProtocolError, decode_json

INT64_MAX: Final = 2**63 - 1

Fields = Mapping[str, Any]


def read_fields(payload: bytes) -> Fields:
    """Give a frame's JSON object."""
    try:
        return decode_json(payload)
    except ProtocolError as error:
        raise AgentMisbehavedError(str(error)) from error


def read_integer(fields: Fields, name: str, low: int, high: int) -> int:
    """Give an integer from ``low`` to ``high``, both allowed; a boolean is none."""
    value = fields.get(name)
    if type(value) is not int or not low <= value <= high:
        raise AgentMisbehavedError(f"{name!r} is not an integer from {low} to {high}")
    return value


def read_optional_integer(fields: Fields, name: str, low: int, high: int) -> int | None:
    """Give an integer from ``low`` to ``high``, or ``None`` for null or a missing field."""
    return None if fields.get(name) is None else read_integer(fields, name, low, high)


def read_boolean(fields: Fields, name: str) -> bool:
    """Give true or false."""
    value = fields.get(name)
    if not isinstance(value, bool):
        raise AgentMisbehavedError(f"{name!r} is not true or false")
    return value


def read_flag(fields: Fields, name: str) -> bool:
    """Give true or false, which a missing field stands for."""
    return name in fields and read_boolean(fields, name)


def read_string(fields: Fields, name: str) -> str:
    """Give a string, with whatever the agent put in it."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise AgentMisbehavedError(f"{name!r} is not a string")
    return value


def read_object(fields: Fields, name: str) -> Fields:
    """Give an object."""
    value = fields.get(name)
    if not isinstance(value, dict):
        raise AgentMisbehavedError(f"{name!r} is not an object")
    return value


def read_objects(fields: Fields, name: str, count_max: int) -> list[Fields]:
    """Give a list of at most ``count_max`` objects."""
    value = fields.get(name)
    if not isinstance(value, list) or len(value) > count_max:
        raise AgentMisbehavedError(f"{name!r} is not a list of at most {count_max} objects")
    if not all(isinstance(item, dict) for item in value):
        raise AgentMisbehavedError(f"{name!r} holds something that is not an object")
    return value
