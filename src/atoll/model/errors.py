"""Everything that can go wrong, named by whose fault it is.

Services and runtimes raise these; one table in ``atoll.api.errors`` gives each its status, type and code. A
message says what was wrong and what to do, in words a person can act on; it never holds a secret or a host path.
"""

from typing import Literal

RefusalReason = Literal[
    "memory_promised",
    "memory_used",
    "disk_promised",
    "disk_used",
    "sandboxes",
    "project_containers",
    "calls_waiting",
    "container_busy",
    "terminals",
    "event_streams",
    "machine",
]
"""What there is no room in, for whoever watches: see the reference of metrics. ``machine`` is anything else."""


class StartRefusedError(Exception):
    """The server must not start on what is there; the message says why and what to do. No request ever meets it."""


class AtollError(Exception):
    """Base of every error that Atoll raises on purpose."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class RequestError(AtollError):
    """The caller's fault: the request cannot be carried out as it stands.

    ``param`` names the field in the caller's own spelling (``expires_after.minutes``), ``code`` is a word that
    programs can match on (``unknown_parameter``).
    """

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class InvalidRequestError(RequestError):
    """A field is missing, unknown, of the wrong type or out of range."""


class AuthenticationError(RequestError):
    """No key, or one that opens nothing."""


class NotFoundError(RequestError):
    """There is no such object in the caller's project."""


class ContainerExpiredError(RequestError):
    """The container's time is over: it can be read about, not used."""

    def __init__(self) -> None:
        super().__init__("Container is expired.")


class PayloadTooLargeError(RequestError):
    """The body, or a file in it, is larger than the operator allows."""


class BusyError(AtollError):
    """Nobody's fault: no room now. The same request may succeed after ``retry_after_s`` seconds."""

    def __init__(
        self, message: str, *, retry_after_s: int, code: str | None = None, reason: RefusalReason = "machine"
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.reason: RefusalReason = reason
        self.code = code


class StorageFullError(RequestError):
    """The container's disk is full: the bytes did not go in and what was there before is unchanged."""


class SandboxFailedError(AtollError):
    """Atoll's own fault, or the machine's: a sandbox could not be made, reached or understood."""
