"""Connects to a name out there, at an address that was looked at.

The address that is dialled is the one that was judged: there is no second look-up in between, so an answer that
changes cannot lead anywhere else.
"""

import asyncio
import errno
import os
import socket
from ipaddress import IPv4Address
from typing import Final

from atoll.egress.buffers import LARGE_BYTES, limit_buffers
from atoll.egress.public_addresses import Address, Network, is_public
from atoll.egress.readiness import writable
from atoll.egress.refusal import RefusedError
from atoll.egress.resolving import NotResolvedError, Resolver
from atoll.model.egress_decision import EgressReason

_ADDRESSES_MAX: Final = 6
_ATTEMPT_S_MAX: Final = 5.0


class Dialler:
    """Makes connections to the outside."""

    def __init__(self, resolver: Resolver, also_public: tuple[Network, ...], timeout_s: float) -> None:
        self._resolver = resolver
        self._also_public = also_public
        self._timeout_s = timeout_s

    async def dial(self, name: str, port: int, buffer_bytes: int = LARGE_BYTES) -> socket.socket:
        """Give a connected socket, for which the kernel holds up to so much each way. Raises ``RefusedError``."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._connect(await self._public_addresses(name), port, buffer_bytes)
        except TimeoutError:
            raise RefusedError(EgressReason.NOT_REACHED) from None

    async def _public_addresses(self, name: str) -> list[Address]:
        try:
            addresses = await self._resolver.addresses_of(name)
        except NotResolvedError:
            raise RefusedError(EgressReason.NOT_RESOLVED) from None
        public = [address for address in addresses if self._may_reach(address)]
        if not public:
            raise RefusedError(EgressReason.NOT_PUBLIC)
        return public[:_ADDRESSES_MAX]

    def _may_reach(self, address: Address) -> bool:
        if any(address in network for network in self._also_public):
            return True  # for tests: their servers are on this machine
        return is_public(address) and not _is_own(address)

    async def _connect(self, addresses: list[Address], port: int, buffer_bytes: int) -> socket.socket:
        for address in addresses:
            try:
                return await _connect_to(address, port, buffer_bytes)
            except (OSError, TimeoutError):
                continue
        raise RefusedError(EgressReason.NOT_REACHED)


async def _connect_to(address: Address, port: int, buffer_bytes: int) -> socket.socket:
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        limit_buffers(sock, buffer_bytes)
        await _connect(sock, address, port)
    except BaseException:
        sock.close()
        raise
    return sock


async def _connect(sock: socket.socket, address: Address, port: int) -> None:
    """Connect without the loop's own way, which has a thread look up even what is an address already."""
    code = sock.connect_ex((str(address), port))
    if code == errno.EINPROGRESS:
        async with asyncio.timeout(_ATTEMPT_S_MAX):
            await writable(sock)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code != 0:
        raise OSError(code, os.strerror(code))


def _is_own(address: Address) -> bool:
    """Tell whether an address is this machine's: only then can a socket be bound to it."""
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError as error:
        # Anything but a clear "not mine" counts as mine, except where the machine has no such family at all.
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True
