"""Making the bytes and strings of a sandbox safe to pass on: no surrogates, nothing half-decoded, nothing endless."""

import codecs
from typing import Final

_MESSAGE_CHARS_MAX: Final = 500
_UTF8: Final = codecs.getincrementaldecoder("utf-8")


class TextDecoder:
    """UTF-8 in pieces that may cut characters in two; what is not UTF-8 becomes U+FFFD."""

    def __init__(self) -> None:
        self._decoder = _UTF8(errors="replace")

    def feed(self, data: bytes) -> str:
        """Give the text that is complete now."""
        return self._decoder.decode(data)

    def finish(self) -> str:
        """Give what an unfinished character at the end stands for; the decoder is then fresh again."""
        text = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return text


def printable(message: str) -> str:
    """Give a message on one line without control characters or surrogates, cut to a sane length."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for character in message[:_MESSAGE_CHARS_MAX]
    )


def is_storable(text: str) -> bool:
    """Tell whether every JSON parser and database can hold ``text``: no lone surrogate, no NUL."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
