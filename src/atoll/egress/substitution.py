"""Puts values in the place of placeholders in a request's headers; pure."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

import h11

# What says where a request goes and how it is framed is never touched.
_LEFT_ALONE: Final = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"te", b"trailer", b"expect"}
)
_BASIC: Final = b"basic "


class Substitution:
    """``values`` by name: ``$NAME`` in a header stands for its value."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = {name.encode(): value.encode("latin-1") for name, value in values.items()}
        names = b"|".join(re.escape(name) for name in sorted(self._values, key=len, reverse=True))
        self._placeholder = re.compile(rb"\$(?:(" + names + rb")(?![A-Za-z0-9_])|\{(" + names + rb")\})")

    def apply(self, request: h11.Request) -> h11.Request:
        """Give the request with values in its headers."""
        headers = [(key, self.fill(key, value)) for key, value in request.headers.raw_items()]
        return h11.Request(
            method=request.method, target=request.target, headers=headers, http_version=request.http_version
        )

    def fill(self, key: bytes, value: bytes) -> bytes:
        """Give what one header of a request is to say. HTTP/2's pseudo-headers say where it goes."""
        if key.startswith(b":") or key.lower() in _LEFT_ALONE:
            return value
        if value[: len(_BASIC)].lower() == _BASIC:
            return self._fill_basic(value)
        return self._placeholder.sub(self._value_of, value)

    def _fill_basic(self, value: bytes) -> bytes:
        """Look inside: git and pip put what stands in a URL into this encoding."""
        try:
            pair = base64.b64decode(value[len(_BASIC) :].strip(), validate=True)
        except binascii.Error:
            return value
        filled = self._placeholder.sub(self._value_of, pair)
        return value if filled == pair else value[: len(_BASIC)] + base64.b64encode(filled)

    def _value_of(self, match: re.Match[bytes]) -> bytes:
        return self._values[match[1] or match[2]]
