"""What a container may reach on the network, and which secrets are put into its requests on their way out."""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainSecret:
    """A secret that can be stored: ``sealed`` is its value, encrypted. Inside it is called ``$NAME``."""

    domain: str
    name: str
    sealed: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDomainSecret:
    """A secret as it was given; its value goes no further than to where it is encrypted."""

    domain: str
    name: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """``disabled`` reaches nothing; ``allowlist`` reaches ``allowed_domains`` and nothing else.

    The entries are as they were given; ``model.domain_pattern`` reads them.
    """

    type: Literal["disabled", "allowlist"] = "disabled"
    allowed_domains: tuple[str, ...] = ()
    domain_secrets: tuple[DomainSecret, ...] = ()


NETWORK_DISABLED = NetworkPolicy()


def policy_to_json(policy: NetworkPolicy) -> dict[str, Any]:
    """Give what ``policy_from_json`` reads."""
    value: dict[str, Any] = {"type": policy.type, "allowed_domains": list(policy.allowed_domains)}
    if policy.domain_secrets:
        value["domain_secrets"] = [[secret.domain, secret.name, secret.sealed] for secret in policy.domain_secrets]
    return value


def policy_from_json(value: object) -> NetworkPolicy:
    """Read a policy. Raises ``ValueError``."""
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one kind of error for whatever is wrong with it
    kind, domains = value.get("type"), value.get("allowed_domains")
    if kind not in ("disabled", "allowlist") or not isinstance(domains, list):
        raise ValueError("an unknown type, or no list of domains")
    if not all(isinstance(domain, str) for domain in domains):
        raise ValueError("a domain is not text")
    return NetworkPolicy(kind, tuple(domains), _secrets(value.get("domain_secrets", [])))


def _secrets(value: object) -> tuple[DomainSecret, ...]:
    if not isinstance(value, list):
        raise ValueError("no list of secrets")  # noqa: TRY004 - as above
    secrets = []
    for item in value:
        if not isinstance(item, list) or len(item) != 3 or not all(isinstance(part, str) for part in item):
            raise ValueError("a secret is not three texts")
        secrets.append(DomainSecret(domain=item[0], name=item[1], sealed=item[2]))
    return tuple(secrets)
