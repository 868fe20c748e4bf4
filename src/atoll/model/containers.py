"""A container: the thing people create, fill, compute in and let expire."""

from dataclasses import dataclass
from enum import StrEnum

from atoll.model.ids import ContainerId, FileId, ProjectId, SandboxId
from atoll.model.memory_limit import MemoryLimit
from atoll.model.network_policy import NETWORK_DISABLED, NetworkPolicy, NewDomainSecret


class ContainerStatus(StrEnum):
    """``running`` can be used; ``expired`` can only be read about."""

    RUNNING = "running"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One row. Times are unix seconds.

    ``sandbox_id`` is the box that stands, or stood before a reboot, behind the container; ``None`` once expired.
    """

    id: ContainerId
    project_id: ProjectId
    name: str
    created_at: int
    last_active_at: int
    expires_after_minutes: int
    memory_limit: MemoryLimit
    network_policy: NetworkPolicy
    status: ContainerStatus
    sandbox_id: SandboxId | None

    @property
    def expires_at(self) -> int:
        """The unix second from which the container counts as expired."""
        return self.last_active_at + self.expires_after_minutes * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerChange:
    """What a caller wants changed; ``None`` leaves things as they are."""

    name: str | None = None
    expires_after_minutes: int | None = None
    network_policy: NetworkPolicy | None = None
    domain_secrets: tuple[NewDomainSecret, ...] = ()
    keeps_domain_secrets: bool = False
    """Whether ``network_policy`` takes over the secrets of the one before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewContainer:
    """What a caller asks for; checked for form, not yet against the machine or the operator's limits."""

    name: str
    expires_after_minutes: int | None = None
    file_ids: tuple[FileId, ...] = ()
    memory_limit: MemoryLimit = MemoryLimit.ONE_GIB
    network_policy: NetworkPolicy = NETWORK_DISABLED
    domain_secrets: tuple[NewDomainSecret, ...] = ()
