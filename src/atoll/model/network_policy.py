"""What a container may reach on the network."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """``disabled`` reaches nothing; ``allowlist`` reaches ``allowed_domains`` and nothing else.

    The entries are as they were given; ``model.domain_pattern`` reads them.
    """

    type: Literal["disabled", "allowlist"] = "disabled"
    allowed_domains: tuple[str, ...] = ()


NETWORK_DISABLED = NetworkPolicy()


def policy_to_json(policy: NetworkPolicy) -> dict[str, Any]:
    """Give what ``policy_from_json`` reads."""
    return {"type": policy.type, "allowed_domains": list(policy.allowed_domains)}


def policy_from_json(value: object) -> NetworkPolicy:
    """Read a policy. Raises ``ValueError``."""
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one kind of error for whatever is wrong with it
    kind, domains = value.get("type"), value.get("allowed_domains")
    if kind not in ("disabled", "allowlist") or not isinstance(domains, list):
        raise ValueError("an unknown type, or no list of domains")
    if not all(isinstance(domain, str) for domain in domains):
        raise ValueError("a domain is not text")
    return NetworkPolicy(kind, tuple(domains))
