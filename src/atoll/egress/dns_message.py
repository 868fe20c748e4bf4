"""Reads a DNS query and writes its answer, as far as a server needs that knows a few names only; pure.

One question a query, as every program sends it (RFC 1035; RFC 9619). What is no such query raises ``DnsError`` and
nothing else. Names come out as text in which only letters, digits, ``-``, ``_`` and the dots between labels stand for
themselves; whatever else a label holds is escaped, so that no odd label can look like a name that is allowed.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

QUERY_BYTES_MAX: Final = 1024
TYPE_A: Final = 1
TYPE_AAAA: Final = 28
CLASS_IN: Final = 1

_HEADER: Final = struct.Struct("!6H")
_LABEL_BYTES_MAX: Final = 63
_NAME_BYTES_MAX: Final = 255
_FLAG_RESPONSE: Final = 0x8000
_FLAG_RECURSION_DESIRED: Final = 0x0100
_FLAG_RECURSION_AVAILABLE: Final = 0x0080
_FLAG_AUTHORITATIVE: Final = 0x0400
_OPCODE_MASK: Final = 0x7800
_RCODE_SERVER_FAILURE: Final = 2
_RCODE_NO_SUCH_NAME: Final = 3
_NAME_OF_QUESTION: Final = 0xC000 | _HEADER.size
_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")


class DnsError(Exception):
    """The packet is not a query that is answered."""


@dataclass(frozen=True, slots=True)
class Query:
    """``name`` is in lower case, without a final dot; ``question`` are the bytes to give back."""

    id: int
    flags: int
    name: str
    type: int
    dns_class: int
    question: bytes


def parse_query(packet: bytes) -> Query:
    """Read a query. Raises ``DnsError``."""
    if not _HEADER.size <= len(packet) <= QUERY_BYTES_MAX:
        raise DnsError("a query has another size")
    query_id, flags, questions, answers, _, _ = _HEADER.unpack_from(packet)
    if flags & (_FLAG_RESPONSE | _OPCODE_MASK) or questions != 1 or answers:
        raise DnsError("not a query of one question")
    name, end = _read_name(packet, _HEADER.size)
    if len(packet) < end + 4:
        raise DnsError("the question is cut off")
    kind, dns_class = struct.unpack_from("!2H", packet, end)
    return Query(query_id, flags, name, kind, dns_class, packet[_HEADER.size : end + 4])


def answer(query: Query, addresses: Sequence[IPv4Address | IPv6Address], ttl_s: int) -> bytes:
    """Give the answer with these addresses; with none, that the name has nothing of what was asked for."""
    records = b"".join(
        struct.pack("!3HIH", _NAME_OF_QUESTION, query.type, CLASS_IN, ttl_s, len(address.packed)) + address.packed
        for address in addresses
    )
    return _head(query, 0, len(addresses)) + query.question + records


def no_such_name(query: Query) -> bytes:
    """Say that the name does not exist."""
    return _head(query, _RCODE_NO_SUCH_NAME, 0) + query.question


def failure(query: Query) -> bytes:
    """Say that it cannot be told now."""
    return _head(query, _RCODE_SERVER_FAILURE, 0) + query.question


def _head(query: Query, code: int, answers: int) -> bytes:
    flags = _FLAG_RESPONSE | _FLAG_AUTHORITATIVE | _FLAG_RECURSION_AVAILABLE | code
    return _HEADER.pack(query.id, flags | (query.flags & _FLAG_RECURSION_DESIRED), 1, answers, 0, 0)


def _read_name(packet: bytes, start: int) -> tuple[str, int]:
    labels: list[str] = []
    at = start
    while True:
        if at >= len(packet):
            raise DnsError("the name is cut off")
        length = packet[at]
        at += 1
        if length == 0:
            return ".".join(labels), at
        # Larger are pointers, which have nothing to point at in a query, and kinds that were never used.
        if length > _LABEL_BYTES_MAX or at + length > len(packet) or at + length - start >= _NAME_BYTES_MAX:
            raise DnsError("the name is none")
        labels.append(_label_text(packet[at : at + length].lower()))
        at += length


def _label_text(label: bytes) -> str:
    return "".join(chr(byte) if byte in _PLAIN else f"\\{byte:03d}" for byte in label)
