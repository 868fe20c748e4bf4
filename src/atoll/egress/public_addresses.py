"""Tells which addresses are on the public internet; pure.

Named one by one from IANA's registries of special-purpose addresses, as ``ipaddress.is_global`` has changed its mind
between Python's versions. When in doubt an address is not public.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NOT_PUBLIC_4: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; a cloud's metadata at 100.100.100.200
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's own services, on an address that is public everywhere else
        "169.254.0.0/16",  # link-local; most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; a cloud's metadata at 192.0.0.192
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks; our own pool
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_NOT_PUBLIC_6: Final = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo (which holds an IPv4 address) among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: holds an IPv4 address
        "3fff::/20",  # documentation
    )
)
# Networks without IPv4 reach IPv4 by it: what counts is the address within.
_NAT64: Final = IPv6Network("64:ff9b::/96")


def is_public(address: Address, also: tuple[Network, ...] = ()) -> bool:
    """Tell whether an address is on the public internet, or in one of the networks that count as such."""
    if any(address in network for network in also):
        return True
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    if address in _NAT64:
        return is_public(IPv4Address(address.packed[12:]))
    return address in _GLOBAL_UNICAST and not any(address in network for network in _NOT_PUBLIC_6)


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read networks with commas between them. Raises ``ValueError``."""
    return tuple(ip_network(word.strip()) for word in text.split(",") if word.strip())


def parse_address(text: str) -> Address:
    """Read an address. Raises ``ValueError``."""
    return ip_address(text)
