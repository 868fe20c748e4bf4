"""Opens the secrets of a policy, in the one process that has use for them."""

import logging
from collections.abc import Sequence

from atoll.egress.tls_ending import Roots, TlsEnding
from atoll.model.domain_pattern import host_name
from atoll.model.network_policy import DomainSecret
from atoll.vault.authority import Authority
from atoll.vault.key import VaultKey
from atoll.vault.sealing import NotSealedError, Sealing

_log = logging.getLogger(__name__)


class SecretOpener:
    """``roots`` is the client's side of TLS."""

    def __init__(self, key: VaultKey, roots: Roots) -> None:
        self._key = key
        self._sealing = Sealing(key)
        self._roots = roots

    def open(self, sandbox_id: str, secrets: Sequence[DomainSecret]) -> TlsEnding:
        """Give what ends TLS for the secrets' domains. One that cannot be opened stays a placeholder."""
        values: dict[str, dict[str, str]] = {}
        for secret in secrets:
            try:
                values.setdefault(host_name(secret.domain), {})[secret.name] = self._sealing.open(secret)
            except NotSealedError:
                _log.error("a secret of %s for %s cannot be opened: was the key changed?", sandbox_id, secret.domain)
        return TlsEnding(
            Authority(self._key, sandbox_id), {key: value for key, value in values.items() if value}, self._roots
        )
