"""A decision of the egress process: what was let out of a sandbox and what was not."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from atoll.model.ids import ContainerId, EgressId


class EgressReason(StrEnum):
    """Why a connection or a query was let through, or was not."""

    ALLOWED = "allowed"
    NAME_NOT_ALLOWED = "name_not_allowed"
    """No entry of the policy stands for the name at that port."""
    BARE_ADDRESS = "bare_address"
    """The connection went to an address that stands for no name."""
    OTHER_NAME = "other_name"
    """TLS hello or Host header name something else than what the address stands for."""
    NO_NAME = "no_name"
    """The TLS hello, or the HTTP request, names nobody."""
    ENCRYPTED_HELLO = "encrypted_hello"
    """The TLS hello hides a second one."""
    NOT_TLS = "not_tls"
    NOT_HTTP = "not_http"
    """Not HTTP, or more of it than is good: ``CONNECT`` and ``TRACE``, two lengths, an upgrade that is no WebSocket, a
    flood of HTTP/2 frames, secrets over and over in one request."""
    TOO_SLOW = "too_slow"
    """It did not say in time whom it wants, or was silent for too long."""
    NOT_RESOLVED = "not_resolved"
    """The name has no address out there."""
    NOT_PUBLIC = "not_public"
    """The name has addresses, and none is on the public internet."""
    NOT_REACHED = "not_reached"
    """Nobody answered at the name's addresses."""
    BYTES_MAX = "bytes_max"
    """The sandbox has moved all the bytes that it may."""
    POLICY_CHANGED = "policy_changed"
    """It was allowed when it began and is not any more."""
    TLS_FAILED = "tls_failed"
    """TLS was to be ended here and could not be, on one side or the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressDecision:
    """``at`` is in unix seconds. Bytes are the sandbox's: ``bytes_sent`` left it, ``bytes_received`` came in.

    ``name`` is what was asked for, as far as that is known: a name, or a bare address. ``port`` is 53 for a query.
    """

    at: float
    sandbox_id: str
    name: str
    port: int
    reason: EgressReason
    bytes_sent: int = 0
    bytes_received: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRecord:
    """A decision as it is kept of a container. ``at_ms`` is in unix milliseconds."""

    id: EgressId
    container_id: ContainerId
    at_ms: int
    name: str
    port: int
    reason: EgressReason
    bytes_sent: int
    bytes_received: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressCounts:
    """What the egress process counts: two of now, the rest since its start."""

    sandboxes: int
    connections_open: int
    decisions: Mapping[EgressReason, int]
    bytes_sent: int
    bytes_received: int
