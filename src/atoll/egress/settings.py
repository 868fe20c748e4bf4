"""What the egress process is told when it is made."""

from dataclasses import dataclass, field

from atoll.egress.bounds import Bounds
from atoll.egress.public_addresses import Network
from atoll.model.domain_pattern import DomainPattern
from atoll.vault.key import VaultKey


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressSettings:
    """``outer`` bounds every policy; ``None`` bounds none. ``roots_pem`` has the roots of servers' certificates,
    ``None`` takes the machine's. Without a ``vault_key`` no secret can be opened.

    For tests alone: ``resolver`` is asked instead of the machine's own (address and port), and ``also_public`` are
    networks that count as public.
    """

    bounds: Bounds = field(default_factory=Bounds)
    outer: tuple[DomainPattern, ...] | None = None
    roots_pem: str | None = None
    vault_key: VaultKey | None = None
    resolver: tuple[str, int] | None = None
    also_public: tuple[Network, ...] = ()
