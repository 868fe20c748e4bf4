"""What a terminal showed last, for whoever connects to it again; pure and bounded."""

from typing import Final

# Programs that fill the screen (vim, less, top) switch to a second one, and back when they end.
_SECOND_SCREEN: Final = b"\x1b[?1049h"
_FIRST_SCREEN: Final = b"\x1b[?1049l"
_LINE_BYTES_MAX: Final = 4096


class Scrollback:
    """Keeps between ``bytes_max`` and twice as many of the newest bytes; cutting them to size costs little each."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._kept = bytearray()
        self._was_cut = False
        self._began_on_second = False

    def write(self, data: bytes) -> None:
        """Add what the terminal showed."""
        self._kept += data
        if len(self._kept) > 2 * self._bytes_max:
            self._cut(len(self._kept) - self._bytes_max)

    def replay(self) -> bytes:
        """Give bytes that show the same again on an empty terminal, as far as they go back.

        What was cut is begun at a line, or at least not within a character, and on the screen that was shown there.
        """
        if not self._was_cut:
            return bytes(self._kept)
        screen = _SECOND_SCREEN if self._began_on_second else b""
        return screen + self._kept[_first_line(self._kept) :]

    def _cut(self, size: int) -> None:
        gone = bytes(self._kept[:size])
        del self._kept[:size]
        self._was_cut = True
        second, first = gone.rfind(_SECOND_SCREEN), gone.rfind(_FIRST_SCREEN)
        if max(second, first) >= 0:
            self._began_on_second = second > first


def _first_line(kept: bytearray) -> int:
    """Give where the first whole line begins; where there is none near, the first whole character."""
    end = kept.find(b"\n", 0, _LINE_BYTES_MAX)
    if end >= 0:
        return end + 1
    start = 0
    while start < min(4, len(kept)) and kept[start] & 0xC0 == 0x80:
        start += 1
    return start
