"""Cutting a stream of server-sent events into JSON objects."""

import json
from collections.abc import Iterable, Iterator
from typing import Any


def read_events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Give each event's data, which names its ``type``; comments and ``[DONE]`` are passed over.

    Raises ``ValueError`` for data that is no JSON object.
    """
    data: list[str] = []
    for line in lines:
        if line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))
        elif not line and data:
            text = "\n".join(data)
            data = []
            if text != "[DONE]":
                yield _object(text)


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("an event's data is not a JSON object")  # noqa: TRY004 - one error for every bad event
    return value
