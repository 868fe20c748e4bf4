"""What the supervisor is told; the command that runs it makes this from the settings of the house."""

from dataclasses import dataclass
from pathlib import Path

from atoll.runtime.oci.settings import OciSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorSettings:
    """``server_uid`` is the only user served beside root; ``server_gid`` gets the socket's group."""

    oci: OciSettings
    socket_path: Path
    server_uid: int
    server_gid: int
