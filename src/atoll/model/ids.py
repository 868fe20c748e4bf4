"""Object ids that sort in creation order, so that an id alone is a paging cursor.

The hexadecimal part of an id is the unix second (8 digits), the nanosecond within it (8 digits), then random
digits. A generator never gives an id that sorts before an earlier one of its own, even when the clock steps back.
"""

import re
import secrets
import threading
import time
from collections.abc import Callable
from typing import Final, Literal, NewType

ContainerId = NewType("ContainerId", str)
ContainerFileId = NewType("ContainerFileId", str)
FileId = NewType("FileId", str)
ProjectId = NewType("ProjectId", str)
KeyId = NewType("KeyId", str)
SandboxId = NewType("SandboxId", str)
CallId = NewType("CallId", str)
ProcessId = NewType("ProcessId", str)
EgressId = NewType("EgressId", str)
TerminalId = NewType("TerminalId", str)

Prefix = Literal["cntr_", "cfile_", "file-", "proj_", "key_", "sbx_", "ci_", "sho_", "proc_", "egr_", "term_"]

HEX_DIGITS: Final[dict[Prefix, int]] = {
    "cntr_": 48,
    "cfile_": 32,
    "file-": 32,
    "proj_": 24,
    "key_": 24,
    "sbx_": 32,
    "ci_": 48,
    "sho_": 48,
    "proc_": 48,
    "egr_": 32,
    "term_": 32,
}
_PATTERNS: Final[dict[Prefix, re.Pattern[str]]] = {
    prefix: re.compile(rf"{re.escape(prefix)}[0-9a-f]{{{digits}}}") for prefix, digits in HEX_DIGITS.items()
}
_NANOSECONDS_PER_SECOND: Final = 1_000_000_000


def is_id(prefix: Prefix, text: str) -> bool:
    """Tell whether ``text`` has the form of an id of this kind; whether the object exists is another question."""
    return _PATTERNS[prefix].fullmatch(text) is not None


def created_at_ns(prefix: Prefix, identifier: str) -> int:
    """Give the unix nanosecond at which a well-formed id was made."""
    digits = identifier.removeprefix(prefix)
    return int(digits[:8], 16) * _NANOSECONDS_PER_SECOND + int(digits[8:16], 16)


def created_at(prefix: Prefix, identifier: str) -> int:
    """Give the unix second at which a well-formed id was made."""
    return created_at_ns(prefix, identifier) // _NANOSECONDS_PER_SECOND


class IdGenerator:
    """Makes ids; safe to share between threads.

    ``not_before_ns`` carries order over a restart: give it the newest time already in the database.
    """

    def __init__(
        self,
        clock_ns: Callable[[], int] = time.time_ns,
        random_hex: Callable[[int], str] = secrets.token_hex,
        *,
        not_before_ns: int = 0,
    ) -> None:
        self._clock_ns = clock_ns
        self._random_hex = random_hex
        self._last_ns = not_before_ns
        self._lock = threading.Lock()

    def new(self, prefix: Prefix) -> str:
        """Give a fresh id of the kind that ``prefix`` names."""
        with self._lock:
            self._last_ns = max(self._last_ns + 1, self._clock_ns())
            now_ns = self._last_ns
        second, nanosecond = divmod(now_ns, _NANOSECONDS_PER_SECOND)
        random_digits = HEX_DIGITS[prefix] - 16
        return f"{prefix}{second:08x}{nanosecond:08x}{self._random_hex(random_digits // 2)}"
