"""Answers a sandbox's DNS queries, over UDP and TCP; none of them goes any further."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from atoll.egress import dns_message
from atoll.egress.address_pool import AddressPool, ipv4, ipv6
from atoll.egress.dns_message import DnsError

_TTL_S: Final = 60
_PACKETS_AT_ONCE: Final = 32
_PKTINFO_BYTES: Final = socket.CMSG_SPACE(64)
_STREAM_QUERIES_MAX: Final = 100
_STREAM_IDLE_S: Final = 10.0


class NameServer:
    """One sandbox's. ``is_allowed`` tells whether a name is at all; ``refused`` is told of names that are not."""

    def __init__(
        self,
        pool: AddressPool,
        is_allowed: Callable[[str], bool],
        refused: Callable[[str], None],
        take_token: Callable[[], float],
        *,
        has_ipv6: bool,
    ) -> None:
        self._pool = pool
        self._is_allowed = is_allowed
        self._refused = refused
        self._take_token = take_token
        self._has_ipv6 = has_ipv6

    def answer(self, packet: bytes) -> bytes | None:
        """Give the answer to a packet, ``None`` when there is none."""
        try:
            query = dns_message.parse_query(packet)
        except DnsError:
            return None
        if not self._is_allowed(query.name):
            if not query.name.endswith(".arpa"):  # programs ask backwards, for addresses, of their own accord
                self._refused(query.name)
            return dns_message.no_such_name(query)
        addresses: list[IPv4Address | IPv6Address] = []
        if query.dns_class == dns_message.CLASS_IN:
            if query.type == dns_message.TYPE_A:
                addresses.append(ipv4(self._pool.number_of(query.name)))
            elif query.type == dns_message.TYPE_AAAA and self._has_ipv6:
                addresses.append(ipv6(self._pool.number_of(query.name)))
        return dns_message.answer(query, addresses, _TTL_S)

    def on_datagrams(self, sock: socket.socket) -> None:
        """Answer what lies on a UDP socket; what is too much is dropped, as networks do."""
        for _ in range(_PACKETS_AT_ONCE):
            try:
                packet, control, _, sender = sock.recvmsg(dns_message.QUERY_BYTES_MAX, _PKTINFO_BYTES)
            except OSError:
                return
            if self._take_token() > 0:
                continue
            reply = self.answer(packet)
            if reply is not None:
                with suppress(OSError):
                    # From the address that was asked: programs ignore an answer from another one.
                    sock.sendmsg([reply], control, 0, sender)

    async def serve_stream(self, sock: socket.socket) -> None:
        """Answer queries on a TCP connection until it ends (RFC 7766)."""
        reader, writer = await asyncio.open_connection(sock=sock)
        try:
            for _ in range(_STREAM_QUERIES_MAX):
                async with asyncio.timeout(_STREAM_IDLE_S):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    if size > dns_message.QUERY_BYTES_MAX or self._take_token() > 0:
                        return
                    reply = self.answer(await reader.readexactly(size))
                    if reply is None:
                        return
                    writer.write(len(reply).to_bytes(2, "big") + reply)
                    await writer.drain()
        except (OSError, EOFError, TimeoutError):
            return
        finally:
            writer.close()
