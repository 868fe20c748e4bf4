"""The few messages to the kernel that give a network namespace its routes; each raises ``OSError`` when it says no.

rtnetlink(7). All of it happens in the namespace that the calling thread is in.
"""

import os
import socket
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Self

_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ERROR: Final = struct.Struct("=i")
_ROUTE: Final = struct.Struct("=8BI")
_ADDRESS: Final = struct.Struct("=4BI")
_LINK: Final = struct.Struct("=BxHiII")

_NLMSG_ERROR: Final = 2
_NEWLINK: Final = 16
_NEWADDR: Final = 20
_DELADDR: Final = 21
_NEWROUTE: Final = 24
_DELROUTE: Final = 25
_REQUEST_ACK: Final = 0x1 | 0x4
_CREATE_REPLACE: Final = 0x400 | 0x100

_LOOPBACK: Final = 1  # the interface that every network namespace has first
_IFF_UP: Final = 1
_TABLE_LOCAL: Final = 255
_PROTOCOL_STATIC: Final = 4
_SCOPE_HOST: Final = 254
_TYPE_LOCAL: Final = 2
_RTA_OIF: Final = 4
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_F_NODAD: Final = 2


class Netlink:
    """A socket to this namespace's kernel."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def loopback_up(self) -> None:
        """Switch the loopback interface on."""
        self._ask(_NEWLINK, 0, _LINK.pack(socket.AF_UNSPEC, 0, _LOOPBACK, _IFF_UP, _IFF_UP))

    def add_address(self, address: IPv4Address | IPv6Address) -> None:
        """Give the loopback interface an address."""
        family, bits = _family(address)
        body = _ADDRESS.pack(family, bits, _IFA_F_NODAD, _SCOPE_HOST, _LOOPBACK)
        body += _attribute(_IFA_LOCAL, address.packed) + _attribute(_IFA_ADDRESS, address.packed)
        self._ask(_NEWADDR, _CREATE_REPLACE, body)

    def remove_address(self, address: IPv4Address | IPv6Address) -> None:
        """Take an address from the loopback interface."""
        family, bits = _family(address)
        body = _ADDRESS.pack(family, bits, 0, _SCOPE_HOST, _LOOPBACK) + _attribute(_IFA_LOCAL, address.packed)
        self._ask(_DELADDR, 0, body)

    def take_every_address(self, family: int) -> None:
        """Make every address of a family the namespace's own (``local 0.0.0.0/0 dev lo``)."""
        self._ask(_NEWROUTE, _CREATE_REPLACE, _every_address(family))

    def give_every_address_back(self, family: int) -> None:
        """Undo ``take_every_address``."""
        self._ask(_DELROUTE, 0, _every_address(family))

    def _ask(self, kind: int, flags: int, body: bytes) -> None:
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST_ACK | flags, 1, 0) + body)
        reply = self._socket.recv(65536)
        _, kind, _, _, _ = _HEADER.unpack_from(reply)
        (code,) = _ERROR.unpack_from(reply, _HEADER.size)
        if kind != _NLMSG_ERROR or code != 0:
            raise OSError(-code, os.strerror(-code), "rtnetlink")


def _every_address(family: int) -> bytes:
    route = _ROUTE.pack(family, 0, 0, 0, _TABLE_LOCAL, _PROTOCOL_STATIC, _SCOPE_HOST, _TYPE_LOCAL, 0)
    return route + _attribute(_RTA_OIF, struct.pack("=I", _LOOPBACK))


def _family(address: IPv4Address | IPv6Address) -> tuple[int, int]:
    return (socket.AF_INET, 32) if isinstance(address, IPv4Address) else (socket.AF_INET6, 128)


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (-length % 4)
