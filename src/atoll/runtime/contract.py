"""The waist: everything above knows containers, everything below knows sandboxes.

A runtime makes boxes with the guest agent in them and hands out byte streams to that agent. It knows nothing of
the public container, HTTP, SQL or expiry. Every runtime passes the suite in ``atoll.runtime.conformance``.

Every method may raise ``RuntimeUnavailableError`` (the runtime's own machinery cannot be reached; nothing is
known about the outcome, the call may be repeated). Cancelling a method leaves nothing half-made: what it had
begun is finished or undone in the background and shows in ``observe()``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from atoll.model.errors import RefusalReason
from atoll.model.ids import SandboxId
from atoll.model.network_policy import NETWORK_DISABLED, NetworkPolicy
from atoll.model.runtime_metrics import RuntimeMetrics


class RuntimeFailure(Exception):  # noqa: N818 - the base; what is raised ends in Error
    """Base of what runtimes raise."""


class SandboxNotFoundError(RuntimeFailure):
    """There is no such sandbox and nothing left of it."""


class SandboxNotRunningError(RuntimeFailure):
    """Only the files are left (reboot, crash, ``stop``): ``start`` brings it back."""


class NoRoomError(RuntimeFailure):
    """The machine has no memory, disk or slot left for another sandbox now; nothing was made."""

    def __init__(self, message: str, *, retry_after_s: int = 10, reason: RefusalReason = "machine") -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.reason: RefusalReason = reason


class SpecRefusedError(RuntimeFailure):
    """This machine can never give what the spec asks for; the message says what and how much it has."""


class NetworkRefusedError(RuntimeFailure):
    """Nothing here could hold to this network policy, so it is not taken."""


class RuntimeUnavailableError(RuntimeFailure):
    """The runtime's own machinery failed or is away."""


class SandboxState(StrEnum):
    """``stopped`` has files and no process."""

    RUNNING = "running"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """What a sandbox is made to. All limits are hard where ``Capabilities`` says that they hold.

    ``memory_bytes`` counts everything in the box, without swap. ``cpus`` is a ceiling in cores, ``disk_bytes``
    bounds everything written in the box, on disk.
    """

    memory_bytes: int
    disk_bytes: int
    pids_max: int
    cpus: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A box that is there. ``created_at`` is when it was made, in unix seconds; that may be before it was asked for."""

    id: SandboxId
    state: SandboxState
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a running sandbox holds now.

    ``memory_kills`` and ``pids_refused``, the processes and threads that could not be started because there were
    ``pids_max`` already, count since its start and never go down. ``memory_was_full`` tells whether it held as much as
    its own limit since it was last measured; a kill without that is one for want of memory on the machine. ``pids_max``
    ``None`` is no limit.
    """

    memory_bytes: int
    memory_kills: int
    memory_was_full: bool
    pids: int
    pids_max: int | None
    pids_refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What a running sandbox holds and has used, for whoever looks at it; ``None`` is no limit, or nothing known.

    ``cpu_s`` counts CPU time since its start. ``disk_bytes`` is what is written on its own disk.
    """

    memory_bytes: int
    memory_bytes_max: int | None
    cpu_s: float
    cpus: float | None
    pids: int
    pids_max: int | None
    disk_bytes: int | None
    disk_bytes_max: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What holds in this runtime, as data.

    ``walls``: code cannot reach the host. ``limits``: the spec's limits are enforced. ``survives_restart``:
    running sandboxes outlive the server's process. ``allowlists``: a network policy of that type is held to; where it
    is not, none is taken. ``memory_bytes_max``: the most one sandbox can ever be given.
    """

    name: str
    walls: bool
    limits: bool
    survives_restart: bool
    allowlists: bool
    memory_bytes_max: int


class Stream(Protocol):
    """A duplex byte stream to a guest agent; what comes out of it is not to be trusted."""

    async def read(self, size_max: int) -> bytes:
        """Give 1 to ``size_max`` bytes, or none at the end. Raises ``ConnectionError`` when it broke."""
        ...

    async def write(self, data: bytes) -> None:
        """Take all of ``data``, waiting while the other side does not read. Raises ``ConnectionError``."""
        ...

    def is_quiet(self) -> bool:
        """Tell whether the connection stands and nothing has come that was not read, without waiting."""
        ...

    async def aclose(self) -> None:
        """Hang up, which cancels what the agent was doing for this stream. Never raises; may be repeated."""
        ...


class Runtime(Protocol):
    """Makes, reaches, lists and removes sandboxes."""

    @property
    def capabilities(self) -> Capabilities:
        """What this runtime holds to."""
        ...

    async def create(self, spec: SandboxSpec, network: NetworkPolicy = NETWORK_DISABLED) -> Sandbox:
        """Make a sandbox whose agent can be dialled, and which reaches what ``network`` says and nothing else.

        Raises ``NoRoomError``, ``SpecRefusedError``, ``NetworkRefusedError``.
        """
        ...

    async def start(self, sandbox_id: SandboxId, network: NetworkPolicy = NETWORK_DISABLED) -> Sandbox:
        """Bring a stopped sandbox back on its own files, to its own spec; a running one is left as it is.

        A network policy lasts as long as the processes that it was for, so it is given again here, and in force
        before the agent can be dialled. Raises ``SandboxNotFoundError``, ``NoRoomError``, ``NetworkRefusedError``.
        """
        ...

    async def set_network(self, sandbox_id: SandboxId, network: NetworkPolicy) -> None:
        """Let a running sandbox reach something else from now on; connections that are not allowed any more have
        ended when it returns.

        When it fails, the old policy or the new one is in force. Raises ``SandboxNotFoundError``,
        ``SandboxNotRunningError``, ``NetworkRefusedError``.
        """
        ...

    async def dial(self, sandbox_id: SandboxId) -> Stream:
        """Connect to the agent.

        Raises ``SandboxNotFoundError``, ``SandboxNotRunningError``.
        """
        ...

    async def observe(self) -> Sequence[Sandbox]:
        """List every sandbox of which anything is left, after any crash."""
        ...

    async def usage(self, sandbox_id: SandboxId) -> Usage:
        """Measure a sandbox from outside.

        Raises ``SandboxNotFoundError``, ``SandboxNotRunningError``.
        """
        ...

    async def measurement(self, sandbox_id: SandboxId) -> Measurement:
        """Measure what people want to see; unlike ``usage``, looking changes nothing that is told next.

        Raises ``SandboxNotFoundError``, ``SandboxNotRunningError``.
        """
        ...

    async def stop(self, sandbox_id: SandboxId) -> None:
        """End every process of a sandbox and keep its files; a stopped or unknown one is left as it is."""
        ...

    async def destroy(self, sandbox_id: SandboxId) -> None:
        """End a sandbox and remove all of it, files included. Idempotent: what is gone counts as destroyed.

        When it returns, no process of the sandbox runs and it is not observed any more; freeing may go on.
        """
        ...

    async def aclose(self) -> None:
        """Let go of the runtime's machinery. Sandboxes live on where ``survives_restart`` holds."""
        ...


@runtime_checkable
class Measured(Protocol):
    """A runtime that counts; not every one does."""

    async def metrics(self) -> RuntimeMetrics:
        """Give what is counted."""
        ...
