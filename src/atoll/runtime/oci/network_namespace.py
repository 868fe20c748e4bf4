"""Makes and unmakes a sandbox's way out, inside its network namespace.

A sandbox has no interface but ``lo``. For a policy that lets something out, every address there becomes the sandbox's
own, and listening sockets are opened on all of them for the ports that the egress process serves. A packet still
goes nowhere: what is sent to any address arrives at ``lo``, and a port without a socket is refused by the kernel.
"""

import errno
import logging
import socket
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from atoll.runtime.oci.netlink import Netlink
from atoll.runtime.oci.system_calls import Namespace, inside

_log = logging.getLogger(__name__)

_DNS_PORT: Final = 53
_BACKLOG: Final = 128
_IP_PKTINFO: Final = 8  # ip(7); Python has no name for it
# Bounds what the kernel holds for a connection that a sandbox does not read from.
_BUFFER_BYTES: Final = 512 * 1024
# Programs ask only for kinds of addresses of which the machine itself has one beside the loopback's (getaddrinfo(3)).
_OWN_IPV4: Final = IPv4Address("198.18.0.1")
_OWN_IPV6: Final = IPv6Address("fd61:746f:6c6c::1")


def open_sockets(pidfd: int, ports: Sequence[int]) -> list[tuple[int, socket.socket]]:
    """Make the way out of the sandbox that ``pidfd`` is in: port and socket, first DNS over UDP, then over TCP.

    A port that a program of the sandbox listens on already is left out. Raises ``OSError``.
    """

    def act() -> list[tuple[int, socket.socket]]:
        family = _prepare()
        opened = [(_DNS_PORT, _bind(family, socket.SOCK_DGRAM, _DNS_PORT))]
        try:
            for port in (_DNS_PORT, *ports):
                with suppress_taken(port):
                    opened.append((port, _bind(family, socket.SOCK_STREAM, port)))
        except BaseException:
            for _, sock in opened:
                sock.close()
            raise
        return opened

    return inside(pidfd, Namespace.NETWORK, act)


def take_routes_back(pidfd: int) -> None:
    """Unmake the way out, once the sockets are closed. Raises ``OSError``."""

    def act() -> None:
        with Netlink() as netlink:
            for family, address in ((socket.AF_INET, _OWN_IPV4), (socket.AF_INET6, _OWN_IPV6)):
                with suppress(OSError):
                    netlink.give_every_address_back(family)
                with suppress(OSError):
                    netlink.remove_address(address)

    inside(pidfd, Namespace.NETWORK, act)


class suppress_taken:  # noqa: N801 - reads as contextlib.suppress does
    """Leave out a port that is taken, and say so."""

    def __init__(self, port: int) -> None:
        self._port = port

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE and self._port != _DNS_PORT:
            _log.warning("a program in a sandbox listens on port %d, which so is not let out", self._port)
            return True
        return False


def _prepare() -> socket.AddressFamily:
    """Give the namespace its routes; gives the family of socket that takes both kinds of addresses, if there is one."""
    with Netlink() as netlink:
        netlink.loopback_up()
        netlink.add_address(_OWN_IPV4)
        netlink.take_every_address(socket.AF_INET)
        try:
            netlink.add_address(_OWN_IPV6)
            netlink.take_every_address(socket.AF_INET6)
        except OSError as error:  # a kernel, or a machine's settings, without IPv6
            _log.info("sandboxes have no IPv6: %s", error)
            return socket.AF_INET
    return socket.AF_INET6


def _bind(family: socket.AddressFamily, kind: socket.SocketKind, port: int) -> socket.socket:
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if kind == socket.SOCK_DGRAM:
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            else:
                sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        sock.bind(("", port))
        if kind == socket.SOCK_STREAM:
            sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock
