"""The key that speaks to `atoll attach` instead of the program in the container; pure."""

import re
from dataclasses import dataclass
from typing import Final

_NAME: Final = re.compile(r"ctrl-([a-z@\[\\\]^_])")
_DETACH: Final = ord("d")


def key_of(name: str) -> int | None:
    """Give the byte of a key like ``ctrl-]``; ``None`` for ``none``. Raises ``ValueError`` for what is no such key."""
    if name.lower() == "none":
        return None
    found = _NAME.fullmatch(name.lower())
    if found is None:
        raise ValueError(name)
    return ord(found[1].upper()) & 0x1F


@dataclass(slots=True)
class EscapeReader:
    """Looks for the key and a ``d`` after it in what is typed; the key twice is the key itself."""

    key: int | None
    is_detached: bool = False
    _is_armed: bool = False

    def feed(self, typed: bytes) -> bytes:
        """Give what is for the container; after the detaching keys nothing is."""
        out = bytearray()
        for byte in typed:
            if self.is_detached:
                break
            if not self._is_armed:
                self._is_armed = byte == self.key
                if not self._is_armed:
                    out.append(byte)
                continue
            self._is_armed = False
            if byte == _DETACH:
                self.is_detached = True
            elif byte == self.key:
                out.append(byte)
            else:
                assert self.key is not None  # noqa: S101 - for the type checker: only a key arms
                out += bytes((self.key, byte))
        return bytes(out)
