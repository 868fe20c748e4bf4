"""Addresses that stand for names, in one sandbox; pure.

Every sandbox has the whole of both ranges to itself: its addresses mean nothing in another one's namespace. Numbers
are given out in turn, so an address that was forgotten comes back only after all the others.
"""

from collections import OrderedDict
from ipaddress import IPv4Address, IPv6Address
from typing import Final

FIRST_IPV4: Final = IPv4Address("198.18.0.0")  # RFC 2544: for benchmarks, so never a server's
FIRST_IPV6: Final = IPv6Address("fd61:746f:6c6c::")
NAMES_MAX: Final = 4096

_NUMBER_MIN: Final = 256
_NUMBER_END: Final = 1 << 17  # 198.18.0.0/15


class AddressPool:
    """Remembers the ``names_max`` names that were asked for last."""

    def __init__(self, names_max: int = NAMES_MAX) -> None:
        self._names_max = names_max
        self._numbers: OrderedDict[str, int] = OrderedDict()
        self._names: dict[int, str] = {}
        self._next = _NUMBER_MIN

    def number_of(self, name: str) -> int:
        """Give the number that stands for a name, a new one when it has none."""
        number = self._numbers.get(name)
        if number is None:
            number = self._next
            while number in self._names:
                number = number + 1 if number + 1 < _NUMBER_END else _NUMBER_MIN
            self._next = number + 1 if number + 1 < _NUMBER_END else _NUMBER_MIN
            self._numbers[name] = number
            self._names[number] = name
            if len(self._numbers) > self._names_max:
                _, forgotten = self._numbers.popitem(last=False)
                del self._names[forgotten]
        else:
            self._numbers.move_to_end(name)
        return number

    def name_at(self, address: IPv4Address | IPv6Address) -> str | None:
        """Give the name that an address stands for."""
        first = FIRST_IPV4 if isinstance(address, IPv4Address) else FIRST_IPV6
        return self._names.get(int(address) - int(first))


def ipv4(number: int) -> IPv4Address:
    """Give a number's IPv4 address."""
    return FIRST_IPV4 + number


def ipv6(number: int) -> IPv6Address:
    """Give a number's IPv6 address."""
    return FIRST_IPV6 + number
