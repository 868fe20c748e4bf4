"""Domain secrets: checked, encrypted before they go anywhere, and called by their placeholders inside."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NoReturn

from atoll.agent.client import AgentClient
from atoll.model.containers import Container
from atoll.model.domain_pattern import DomainPattern, DomainRefusedError, parse_domain
from atoll.model.errors import InvalidRequestError
from atoll.model.ids import SandboxId
from atoll.model.network_policy import NetworkPolicy, NewDomainSecret
from atoll.service.checks import check_count
from atoll.service.limits import ServiceLimits
from atoll.vault.authority import Authority
from atoll.vault.key import VaultKey
from atoll.vault.sealing import Sealing

# Where the agent keeps the roots that a sandbox trusts, and what programs call that file.
TRUSTED_ROOTS: Final = "/etc/ssl/certs/ca-certificates.crt"
_ROOTS_VARIABLES: Final = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_TLS_PORT: Final = 443
_PARAM: Final = "network_policy.domain_secrets"


class Secrets:
    """All that the services do with secrets. Without a key none is taken."""

    def __init__(self, key: VaultKey | None, limits: ServiceLimits) -> None:
        self._key = key
        self._sealing = None if key is None else Sealing(key)
        self._limits = limits
        self._trusting: set[SandboxId] = set()

    def sealed(self, policy: NetworkPolicy, secrets: Sequence[NewDomainSecret]) -> NetworkPolicy:
        """Give a policy that was checked with its secrets encrypted. Raises ``InvalidRequestError``."""
        if not secrets:
            return policy
        if self._sealing is None:
            raise InvalidRequestError(f"Invalid '{_PARAM}': this server takes no secrets.", param=_PARAM)
        self._check(policy, secrets)
        sealing = self._sealing
        sealed = (sealing.seal(parse_domain(secret.domain).name, secret.name, secret.value) for secret in secrets)
        return replace(policy, domain_secrets=tuple(sealed))

    def taken_over(self, before: NetworkPolicy, policy: NetworkPolicy) -> NetworkPolicy:
        """Give a policy with those secrets of the one before it, too, that it has no new value for and whose domains
        it lists. Raises ``InvalidRequestError``.
        """
        allowed = [parse_domain(text) for text in policy.allowed_domains]
        given = {(secret.domain, secret.name) for secret in policy.domain_secrets}
        kept = (
            secret
            for secret in before.domain_secrets
            if (secret.domain, secret.name) not in given and _is_listed(secret.domain, allowed)
        )
        together = (*policy.domain_secrets, *kept)
        check_count(_PARAM, len(together), self._limits.domain_secrets_max)
        # What is sealed is in Base64, and a little longer than its value: the bound is never passed.
        if sum(len(secret.sealed) for secret in together) * 3 // 4 > self._limits.domain_secrets_chars_max:
            _refuse(
                _PARAM, f"with those kept, the values have more than {self._limits.domain_secrets_chars_max} characters"
            )
        return replace(policy, domain_secrets=together)

    def environment(self, container: Container) -> dict[str, str]:
        """Give the variables that a container's programs see: placeholders, and where trusted roots are."""
        secrets = container.network_policy.domain_secrets
        if not secrets:
            return {}
        placeholders = {secret.name: f"${secret.name}" for secret in secrets}
        return dict.fromkeys(_ROOTS_VARIABLES, TRUSTED_ROOTS) | placeholders

    async def let_trust(self, container: Container, agent: AgentClient) -> None:
        """Have a container's sandbox trust its own authority. Raises ``AgentError`` and ``RuntimeFailure``."""
        sandbox_id = container.sandbox_id
        if self._key is None or sandbox_id is None or not container.network_policy.domain_secrets:
            return
        if sandbox_id not in self._trusting:
            await agent.trust(Authority(self._key, sandbox_id).pem)
            self._trusting.add(sandbox_id)

    def forget(self, sandbox_id: SandboxId) -> None:
        """Drop what is known of a sandbox that is no more."""
        self._trusting.discard(sandbox_id)

    def _check(self, policy: NetworkPolicy, secrets: Sequence[NewDomainSecret]) -> None:
        check_count(_PARAM, len(secrets), self._limits.domain_secrets_max)
        allowed = [parse_domain(text) for text in policy.allowed_domains]
        seen: set[tuple[str, str]] = set()
        for index, secret in enumerate(secrets):
            where = f"{_PARAM}[{index}]"
            domain = _check_domain(f"{where}.domain", secret.domain, allowed)
            if not _NAME.fullmatch(secret.name):
                _refuse(f"{where}.name", "expected the name of an environment variable of up to 64 characters")
            _check_value(f"{where}.value", secret.value, self._limits.domain_secret_chars_max)
            if (domain, secret.name) in seen:
                _refuse(f"{where}.name", "the domain has a secret of that name already")
            seen.add((domain, secret.name))
        if sum(len(secret.value) for secret in secrets) > self._limits.domain_secrets_chars_max:
            _refuse(_PARAM, f"the values have more than {self._limits.domain_secrets_chars_max} characters together")


def _check_domain(param: str, text: str, allowed: Sequence[DomainPattern]) -> str:
    try:
        pattern = parse_domain(text)
    except DomainRefusedError as error:
        _refuse(param, str(error))
    if pattern.is_wildcard or pattern.port is not None:
        _refuse(param, "a secret is for one name, without wildcard and port")
    if not _is_listed(pattern.name, allowed):
        _refuse(param, f"'allowed_domains' does not list it for port {_TLS_PORT}")
    return pattern.name


def _is_listed(name: str, allowed: Sequence[DomainPattern]) -> bool:
    return any(one.covers(DomainPattern(name, port=_TLS_PORT)) for one in allowed)


def _check_value(param: str, value: str, chars_max: int) -> None:
    """What is wrong is told without the value."""
    if len(value) > chars_max:
        _refuse(param, f"a secret has up to {chars_max} characters")
    if not value.isascii() or not value.isprintable() or value != value.strip():
        _refuse(param, "a secret has printable ASCII characters only, and no space at its ends, to fit into a header")


def _refuse(param: str, why: str) -> NoReturn:
    raise InvalidRequestError(f"Invalid '{param}': {why}.", param=param, code="invalid_value")
