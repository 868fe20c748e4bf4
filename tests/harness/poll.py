"""Waiting for a condition, bounded: the only way in which these tests let time pass."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE_S = 0.02
TIMEOUT_S = 60.0  # far more than anything takes: tests run beside others


def wait_until(look: Callable[[], T], *, what: str, timeout_s: float = TIMEOUT_S) -> T:
    """Call ``look`` until it gives something true, and give that.

    Raises ``TimeoutError`` that names ``what`` and the last thing seen.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s in vain: {what}; last seen: {seen!r}")
        time.sleep(PAUSE_S)
