"""What a container may reach on the network."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """``disabled`` reaches nothing; ``allowlist`` reaches ``allowed_domains`` and nothing else."""

    type: Literal["disabled", "allowlist"] = "disabled"
    allowed_domains: tuple[str, ...] = ()


NETWORK_DISABLED = NetworkPolicy()
