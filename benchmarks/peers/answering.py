"""Answers requests that come as lines of JSON, one at a time, until there are no more; standard library only."""

import json
import os
import sys
from collections.abc import Callable
from typing import Any


def answer(requests: dict[str, Callable[..., Any]]) -> None:
    """Call what each request names as ``what``, with the rest of it as arguments; answer ``value`` or ``error``.

    What the called print goes to standard error, so that it never comes between answers.
    """
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin.buffer:
        details = json.loads(line)
        try:
            reply = {"value": requests[details.pop("what")](**details)}
        except Exception as error:  # noqa: BLE001 - whatever went wrong is the answer
            reply = {"error": f"{type(error).__name__}: {error}"}
        out.write(json.dumps(reply).encode() + b"\n")
