"""What one sandbox may reach, made for looking up; pure."""

from collections.abc import Iterable
from typing import Final

from atoll.model.domain_pattern import DomainPattern

_NO_PORTS: Final[frozenset[int]] = frozenset()


class Allowlist:
    """All names and ports that patterns stand for, less what is not within ``outer``, the operator's bound."""

    def __init__(self, patterns: Iterable[DomainPattern], outer: "Allowlist | None" = None) -> None:
        self._exact: dict[str, frozenset[int]] = {}
        self._below: dict[str, frozenset[int]] = {}
        self._outer = outer
        for pattern in patterns:
            table = self._below if pattern.is_wildcard else self._exact
            table[pattern.name] = table.get(pattern.name, _NO_PORTS) | pattern.ports

    def ports_of(self, name: str) -> frozenset[int]:
        """Give the ports of a name (in the form of ``host_name``) that may be reached; none when it is not allowed."""
        ports = self._exact.get(name, _NO_PORTS)
        above = name.partition(".")[2]
        while above and self._below:
            ports |= self._below.get(above, _NO_PORTS)
            above = above.partition(".")[2]
        if ports and self._outer is not None:
            ports &= self._outer.ports_of(name)
        return ports

    def allows(self, name: str, port: int) -> bool:
        """Tell whether a name may be reached at a port."""
        return port in self.ports_of(name)
