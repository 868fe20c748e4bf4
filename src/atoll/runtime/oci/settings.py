"""What the runtime is told when it is made."""

from dataclasses import dataclass
from pathlib import Path

from atoll.runtime.contract import SandboxSpec
from atoll.runtime.oci import cgroup


@dataclass(frozen=True, slots=True, kw_only=True)
class OciSettings:
    """Folders, the program, and how far the machine may be filled.

    ``sandboxes_dir`` and ``run_dir`` belong to root alone and to one supervisor alone; everything in ``run_dir`` may
    vanish while no sandbox runs. ``image`` is a name or an id. ``memory_bytes_max`` is what sandboxes may hold
    together, ``None`` for all that the machine has; half of ``memory_free_bytes_min`` is always left to the rest of the
    machine. An overcommit is how many times what there is may be promised: memory to sandboxes that run, disk to all
    that exist (their disks are sparse). While less disk than half of ``disk_free_bytes_min`` is free, sandboxes are
    frozen. Between ``pool_min`` and ``pool_max`` sandboxes of ``pool_spec`` are kept ready; none without one.
    ``zygote_user`` is the system user of preloaded Pythons; with ``None`` there are none and every sandbox starts cold.
    ``egress_socket`` is where the egress process takes networks, which get sockets for ``egress_ports``; with ``None``
    there is no such process and nothing is let out.
    """

    sandboxes_dir: Path
    run_dir: Path
    images_dir: Path
    image: str = "default"
    oci_runtime: str = "runc"
    zygote_user: str | None = "atoll-zygote"
    cgroup_parent: str = "/atoll"
    cgroup_root: Path = cgroup.DEFAULT_ROOT
    sandboxes_max: int = 1000
    memory_bytes_max: int | None = None
    memory_overcommit: float = 20.0
    memory_free_bytes_min: int = 256 << 20
    disk_overcommit: float = 20.0
    disk_free_bytes_min: int = 1 << 30
    pool_spec: SandboxSpec | None = None
    pool_min: int = 0
    pool_max: int = 0
    egress_socket: Path | None = None
    egress_ports: tuple[int, ...] = (80, 443)
