"""Writing what a container said: faithfully into pipes and files, harmlessly onto a terminal.

A terminal obeys escape sequences: they can rewrite what stands on the screen, set the clipboard or make the terminal
type. Code in a container must not reach the terminal of whoever looks at its output.
"""

import re
from typing import Final, TextIO

# The last ones turn the order of what follows around: a name's, or that of the columns behind it.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def harmless(text: str) -> str:
    """Replace control characters, but for tab, line feed and carriage return, by visible ones."""
    return _CONTROL.sub(lambda match: _visible(match[0]), text)


def _visible(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def write(stream: TextIO, text: str) -> None:
    """Write at once."""
    stream.write(harmless(text) if stream.isatty() else text)
    stream.flush()
