"""What programs have switched on in somebody's terminal, to be switched off when they are left behind; pure.

Whoever detaches from an editor must not be left in its screen, without a cursor, with a mouse that types.
"""

import re
from dataclasses import dataclass, field
from typing import Final

_SEQUENCE: Final = re.compile(
    rb"\x1b(?:"
    rb"\[\?(?P<modes>[0-9;]{1,40})(?P<set>[hl])"
    rb"|(?P<keypad>[=>])"
    rb"|\[>4(?:;(?P<keys>[0-9]))?m"
    rb"|\[(?P<region>[0-9;]{0,12})r"
    rb"|(?P<reset>c)"
    rb")"
)
_TAIL_BYTES_MAX: Final = 48
# Terminals know none above; what else is written would fill memory, a number at a time.
_MODE_MAX: Final = 9999
# On in a terminal that nobody touched; everything else is off.
_USUALLY_ON: Final = frozenset((7, 8, 25))
# Plain text in the usual letters, whatever was on.
_PLAIN: Final = b"\x1b[0m\x1b(B\x0f"


@dataclass(slots=True)
class ScreenModes:
    """Follows output, and knows what puts the terminal back."""

    _changed: dict[int, bool] = field(default_factory=dict)
    _has_keypad: bool = False
    _has_keys: bool = False
    _has_region: bool = False
    _tail: bytes = b""

    def feed(self, shown: bytes) -> None:
        """Look at output; sequences may be cut anywhere."""
        data = self._tail + shown
        end = 0
        for found in _SEQUENCE.finditer(data):
            end = found.end()
            self._note(found)
        cut = data.rfind(b"\x1b", max(end, len(data) - _TAIL_BYTES_MAX))
        self._tail = data[cut:] if cut >= 0 else b""

    def undo(self) -> bytes:
        """Give what puts the terminal back as it was."""
        # Leaving the other screen last: what stands before may move the cursor there.
        modes = sorted((mode for mode, is_on in self._changed.items() if is_on != (mode in _USUALLY_ON)), key=_last)
        back = b"".join(b"\x1b[?%d%c" % (mode, b"h" if mode in _USUALLY_ON else b"l") for mode in modes)
        keypad = b"\x1b>" if self._has_keypad else b""
        keys = b"\x1b[>4m" if self._has_keys else b""
        region = b"\x1b7\x1b[r\x1b8" if self._has_region else b""
        return _PLAIN + keypad + keys + region + back

    def _note(self, found: re.Match[bytes]) -> None:
        if found["modes"] is not None:
            for mode in filter(None, found["modes"].split(b";")):
                if int(mode) <= _MODE_MAX:
                    self._changed[int(mode)] = found["set"] == b"h"
        elif found["keypad"] is not None:
            self._has_keypad = found["keypad"] == b"="
        elif found["region"] is not None:
            self._has_region = found["region"] != b""
        elif found["reset"] is not None:
            self._changed.clear()
            self._has_keypad = self._has_keys = self._has_region = False
        else:
            self._has_keys = found["keys"] not in (None, b"0")


def _last(mode: int) -> tuple[bool, int]:
    return mode in (47, 1047, 1049), mode
