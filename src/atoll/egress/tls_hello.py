"""Reads the first message of a TLS connection, the ClientHello, as far as it tells whom the client wants; pure.

RFC 8446 section 4.1.2, RFC 6066 section 3 (the server's name), RFC 7301 (protocols), RFC 9849 (encrypted hello).
Whatever bytes come in, ``HelloError`` is all that is raised, and never more than ``HELLO_BYTES_MAX`` are looked at.
"""

from dataclasses import dataclass
from typing import Final

HELLO_BYTES_MAX: Final = 16 * 1024

_RECORD_HEADER_BYTES: Final = 5
_RECORD_BYTES_MAX: Final = 1 << 14
_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_EXTENSION_SERVER_NAME: Final = 0
_EXTENSION_PROTOCOLS: Final = 16
# The standard's, and the draft's that went before it.
_EXTENSIONS_ENCRYPTED_HELLO: Final = frozenset({0xFE0D, 0xFFCE})
_NAME_TYPE_HOST: Final = 0


class HelloError(Exception):
    """What came is not the beginning of a TLS connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """``server_name`` as it was sent; ``None`` when the client did not name one."""

    server_name: str | None
    protocols: tuple[bytes, ...]
    has_encrypted_hello: bool


def read_hello(data: bytes) -> Hello | None:
    """Read the hello at the beginning of ``data``; ``None`` while it is not all there. Raises ``HelloError``."""
    message = _join_records(data)
    if message is None:
        if len(data) >= HELLO_BYTES_MAX:
            raise HelloError("the hello is too long")
        return None
    return _read_message(message)


def _join_records(data: bytes) -> bytes | None:
    """Give the handshake message without the records' headers, ``None`` while some of it is missing."""
    message = b""
    at = 0
    wanted = 4
    while len(message) < wanted:
        header = data[at : at + _RECORD_HEADER_BYTES]
        if (header and header[0] != _HANDSHAKE) or header[1:2] not in (b"", b"\x03"):
            raise HelloError("not a TLS handshake")
        if len(header) < _RECORD_HEADER_BYTES:
            return None
        length = int.from_bytes(header[3:5], "big")
        if not 0 < length <= _RECORD_BYTES_MAX:
            raise HelloError("a record has an impossible length")
        at += _RECORD_HEADER_BYTES
        message += data[at : at + length]
        if message[0:1] not in (b"", bytes([_CLIENT_HELLO])):
            raise HelloError("not a client's hello")
        if len(message) >= 4:
            wanted = 4 + int.from_bytes(message[1:4], "big")
            if wanted > HELLO_BYTES_MAX:
                raise HelloError("the hello is too long")
        if at + length > len(data) and len(message) < wanted:
            return None
        at += length
    return message[4:wanted]


def _read_message(message: bytes) -> Hello:
    reader = _Reader(message)
    reader.take(2 + 32)  # version, random
    reader.take(reader.number(1))  # session
    reader.take(reader.number(2))  # cipher suites
    reader.take(reader.number(1))  # compression
    rest = reader.rest()
    if not rest:
        return Hello(server_name=None, protocols=(), has_encrypted_hello=False)
    if len(rest) != 2 + int.from_bytes(rest[:2], "big"):
        raise HelloError("the extensions do not end where the hello does")
    extensions = _read_extensions(_Reader(rest[2:]))
    name: bytes | None = extensions.get(_EXTENSION_SERVER_NAME)
    protocols: bytes | None = extensions.get(_EXTENSION_PROTOCOLS)
    return Hello(
        server_name=None if name is None else _read_server_name(_Reader(name)),
        protocols=() if protocols is None else _read_protocols(_Reader(protocols)),
        has_encrypted_hello=not _EXTENSIONS_ENCRYPTED_HELLO.isdisjoint(extensions),
    )


def _read_extensions(reader: "_Reader") -> dict[int, bytes]:
    extensions: dict[int, bytes] = {}
    while not reader.is_empty:
        kind = reader.number(2)
        if kind in extensions:
            raise HelloError("an extension is there twice")  # which one would the server believe?
        extensions[kind] = reader.take(reader.number(2))
    return extensions


def _read_server_name(reader: "_Reader") -> str:
    names = _Reader(reader.take(reader.number(2)))
    kind = names.number(1)
    name = names.take(names.number(2))
    if kind != _NAME_TYPE_HOST or not names.is_empty or not reader.is_empty:
        raise HelloError("not exactly one host's name")
    try:
        return name.decode("ascii")
    except UnicodeDecodeError as error:
        raise HelloError("the host's name is not ASCII") from error


def _read_protocols(reader: "_Reader") -> tuple[bytes, ...]:
    listed = _Reader(reader.take(reader.number(2)))
    protocols = []
    while not listed.is_empty:
        protocols.append(listed.take(listed.number(1)))
    return tuple(protocols)


class _Reader:
    """Takes bytes from the front; too few are a ``HelloError``."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_empty(self) -> bool:
        return self._at == len(self._data)

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise HelloError("a length points past the end")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")
