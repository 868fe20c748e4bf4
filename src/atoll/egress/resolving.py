"""Asks the machine's name servers for the addresses of a name."""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import islice
from pathlib import Path
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver

from atoll.egress.public_addresses import Address

_CONFIG: Final = Path("/etc/resolv.conf")
_LOOK_AGAIN_S: Final = 5.0
_CACHE_NAMES_MAX: Final = 10_000
# Of each family. An answer may hold thousands, and who has a wildcard of his own may have many names asked for.
_ADDRESSES_MAX: Final = 16


class NotResolvedError(Exception):
    """The name has no addresses, or nobody could tell them."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """``until`` is in unix seconds."""

    addresses: list[Address]
    until: float


class Resolver:
    """Remembers answers as long as they say. Belongs to one event loop."""

    def __init__(self, timeout_s: float, server: tuple[str, int] | None = None) -> None:
        """Ask ``server`` (address and port), or the servers of the machine's ``resolv.conf``."""
        self._timeout_s = timeout_s
        self._server = server
        self._looked_at = float("-inf")
        self._config_state: object = None
        self._asking = self._make()
        # What dnspython remembers takes it a fifth of a millisecond to say, and it remembers all that an answer held.
        self._known: OrderedDict[str, _Answer] = OrderedDict()

    async def addresses_of(self, name: str) -> list[Address]:
        """Give the first addresses of a name, IPv4 before IPv6. Raises ``NotResolvedError``."""
        self._follow_config()
        known = self._known.get(name)
        if known is not None and known.until > time.time():
            return known.addresses
        kinds = (dns.rdatatype.A, dns.rdatatype.AAAA)
        found = await asyncio.gather(*(self._ask(name, kind) for kind in kinds), return_exceptions=True)
        answers: list[_Answer] = []
        for answer in found:
            if isinstance(answer, _Answer):
                answers.append(answer)
            elif not isinstance(answer, NotResolvedError):
                raise answer
        addresses = [address for answer in answers for address in answer.addresses]
        if not addresses:
            raise NotResolvedError(name)
        if len(answers) == len(kinds):
            self._remember(name, _Answer(addresses, min(answer.until for answer in answers)))
        return addresses

    def _remember(self, name: str, answer: "_Answer") -> None:
        self._known[name] = answer
        self._known.move_to_end(name)
        if len(self._known) > _CACHE_NAMES_MAX:
            self._known.popitem(last=False)

    async def _ask(self, name: str, kind: dns.rdatatype.RdataType) -> "_Answer":
        try:
            # Absolute, so that no search list makes another name of it.
            absolute = dns.name.from_text(name, dns.name.root)
            answer = await self._asking.resolve(absolute, kind, search=False, raise_on_no_answer=False)
        except (dns.exception.DNSException, OSError) as error:
            raise NotResolvedError(name) from error
        records = islice(answer.rrset or (), _ADDRESSES_MAX)
        return _Answer([ip_address(record.address) for record in records], answer.expiration)

    def _follow_config(self) -> None:
        """Take up other name servers when the machine got some."""
        if self._server is not None or time.monotonic() < self._looked_at + _LOOK_AGAIN_S:
            return
        self._looked_at = time.monotonic()
        try:
            status = _CONFIG.stat()
        except OSError:
            return
        state = (status.st_mtime_ns, status.st_ino)
        if state != self._config_state:
            self._config_state = state
            self._asking = self._make()
            self._known.clear()

    def _make(self) -> dns.asyncresolver.Resolver:
        try:
            asking = dns.asyncresolver.Resolver(configure=self._server is None)
        except dns.resolver.NoResolverConfiguration:
            asking = dns.asyncresolver.Resolver(configure=False)
        if self._server is not None:
            address, port = self._server
            asking.nameservers = [address]
            asking.port = port
        asking.lifetime = self._timeout_s
        return asking
