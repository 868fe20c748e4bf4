"""What runtimes and agents fail with, in the words of ``atoll.model.errors``."""

from collections.abc import Iterator
from contextlib import contextmanager

from atoll.agent.errors import AgentError, AgentRefusedError
from atoll.model.errors import (
    AtollError,
    BusyError,
    InvalidRequestError,
    PayloadTooLargeError,
    SandboxFailedError,
    StorageFullError,
)
from atoll.runtime.contract import (
    NetworkRefusedError,
    NoRoomError,
    RuntimeFailure,
    RuntimeUnavailableError,
    SpecRefusedError,
)


class PathTakenError(InvalidRequestError):
    """A file that must not replace another one found its path taken."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise our errors for those of runtime and agent, keeping the cause; anything else comes out unchanged."""
    try:
        yield
    except (RuntimeFailure, AgentError) as error:
        raise translate(error) from error


def translate(error: RuntimeFailure | AgentError) -> AtollError:
    """Give our error for one of theirs."""
    match error:
        case NoRoomError():
            return BusyError(
                f"There is no room for another running container on this machine now: {error}",
                retry_after_s=error.retry_after_s,
                reason=error.reason,
            )
        case SpecRefusedError():
            return InvalidRequestError(f"Invalid 'memory_limit': {error}", param="memory_limit")
        case NetworkRefusedError():
            return InvalidRequestError(f"Invalid 'network_policy': {error}.", param="network_policy")
        case RuntimeUnavailableError():
            return SandboxFailedError("The service that runs sandboxes is not available now; try again later.")
        case AgentRefusedError():
            return _refused(error)
        case _:
            return SandboxFailedError(
                "The container's sandbox did not answer as it should; its files are kept, and using it again may help."
            )


def _refused(error: AgentRefusedError) -> AtollError:
    match error.code:
        case "no_space":
            return StorageFullError("The container's disk is full; what was there before is unchanged.")
        case "exists":
            return PathTakenError("There is a file at that path in the container already.", param="file")
        case "too_large":
            return PayloadTooLargeError("The file is larger than a file in a container may be.", param="file")
        case "not_regular" | "permission":
            return InvalidRequestError(
                "Something that cannot be replaced is at that path in the container: a directory, or a file that "
                "code protected.",
                param="file",
            )
        case "busy":
            return BusyError(
                "The container is busy with another operation, or its processes leave no room for this one; then a "
                "restart of the container ends them.",
                retry_after_s=1,
                reason="container_busy",
            )
        case _:
            return SandboxFailedError(f"The container's sandbox refused: {error.message}")
