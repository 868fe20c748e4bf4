"""Puts values in the place of placeholders in a request's headers; pure."""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Final

import h11

from atoll.egress.refusal import RefusedError
from atoll.model.egress_decision import EgressReason

# Of all values in one request together. A placeholder is a few bytes and its value up to eight thousand, so a small
# request could otherwise come to hundreds of megabytes here; servers take heads of some ten thousand bytes.
VALUES_BYTES_MAX: Final = 32 * 1024

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
        """Give the request with values in its headers. Raises ``RefusedError`` as ``fill`` does."""
        headers = request.headers.raw_items()
        filled = zip((key for key, _ in headers), self.fill(headers), strict=True)
        return h11.Request(
            method=request.method, target=request.target, headers=list(filled), http_version=request.http_version
        )

    def fill(self, head: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
        """Give what each header of a request is to say. HTTP/2's pseudo-headers say where it goes.

        Raises ``RefusedError`` for more than ``VALUES_BYTES_MAX``.
        """
        filling = _Filling(self._values)
        return [self._fill(key, value, filling) for key, value in head]

    def _fill(self, key: bytes, value: bytes, filling: "_Filling") -> bytes:
        if key.startswith(b":") or key.lower() in _LEFT_ALONE:
            return value
        if value[: len(_BASIC)].lower() == _BASIC:
            return self._fill_basic(value, filling)
        return self._placeholder.sub(filling.value_of, value)

    def _fill_basic(self, value: bytes, filling: "_Filling") -> bytes:
        """Look inside: git and pip put what stands in a URL into this encoding."""
        try:
            pair = base64.b64decode(value[len(_BASIC) :].strip(), validate=True)
        except binascii.Error:
            return value
        filled = self._placeholder.sub(filling.value_of, pair)
        return value if filled == pair else value[: len(_BASIC)] + base64.b64encode(filled)


class _Filling:
    """Gives values for one request, until they are too many."""

    def __init__(self, values: Mapping[bytes, bytes]) -> None:
        self._values = values
        self._bytes_left = VALUES_BYTES_MAX

    def value_of(self, match: re.Match[bytes]) -> bytes:
        value = self._values[match[1] or match[2]]
        self._bytes_left -= len(value)
        if self._bytes_left < 0:
            raise RefusedError(EgressReason.NOT_HTTP)
        return value
