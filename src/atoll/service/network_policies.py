"""Whether a network policy can be taken: by its form, within the operator's bound, and only where it is held to."""

from typing import Final

from atoll.model.domain_pattern import DomainPattern, DomainRefusedError, parse_domain
from atoll.model.errors import InvalidRequestError
from atoll.model.network_policy import NetworkPolicy
from atoll.service.checks import check_count
from atoll.service.limits import ServiceLimits

_SHOWN_CHARS_MAX: Final = 100
_PARAM: Final = "network_policy.allowed_domains"


def check_policy(policy: NetworkPolicy, limits: ServiceLimits, *, is_enforced: bool) -> None:
    """Raise ``InvalidRequestError``, which names the entry, for a policy that is not taken."""
    if policy.type == "disabled":
        return
    if not is_enforced:
        raise InvalidRequestError(
            "Invalid 'network_policy.type': 'allowlist' cannot be enforced by this server as it was started, so it is "
            "not accepted; only 'disabled' is.",
            param="network_policy.type",
        )
    if not policy.allowed_domains:
        raise InvalidRequestError(
            f"Invalid '{_PARAM}': empty array. Expected an array with minimum length 1.",
            param=_PARAM,
            code="empty_array",
        )
    check_count(_PARAM, len(policy.allowed_domains), limits.allowed_domains_max)
    for index, text in enumerate(policy.allowed_domains):
        try:
            _check_within(parse_domain(text), limits)
        except DomainRefusedError as error:
            param = f"{_PARAM}[{index}]"
            raise InvalidRequestError(
                f"Invalid '{param}': {_shown(text)} cannot be allowed: {error}.", param=param, code="invalid_value"
            ) from None


def _check_within(pattern: DomainPattern, limits: ServiceLimits) -> None:
    """Raise ``DomainRefusedError`` for what this server lets nobody out to."""
    if not pattern.ports <= set(limits.egress_tcp_ports):
        raise DomainRefusedError(f"this server lets nothing out to port {pattern.port}")
    outer = limits.egress_outer_domains
    if outer is not None and not any(bound.covers(pattern) for bound in outer):
        raise DomainRefusedError("it is not within the domains that the operator of this server allows")


def _shown(text: str) -> str:
    return ascii(text if len(text) <= _SHOWN_CHARS_MAX else text[:_SHOWN_CHARS_MAX] + "...")
