"""The supervisor child: keeps root's rights, and is told of the settings only what concerns it."""

import os

from atoll.model.containers import NewContainer
from atoll.operate.egress_user import has_egress
from atoll.operate.logs import configure_logging
from atoll.operate.system_user import SystemUser, UserError
from atoll.runtime.contract import SandboxSpec
from atoll.runtime.oci.layout import AlreadyLockedError
from atoll.runtime.oci.requirements import MachineUnfitError
from atoll.runtime.oci.settings import OciSettings
from atoll.settings import Settings
from atoll.supervisor import main
from atoll.supervisor.settings import SupervisorSettings


def run_supervisor(settings: Settings, user: SystemUser | None) -> None:
    """Supervise for a server that runs as ``user`` until SIGTERM. Raises ``UserError``."""
    configure_logging(settings.log_level, settings.log_format, "supervisor")
    if user is None:
        raise UserError("The supervisor serves a user other than root; `atoll serve` as root starts it so.")
    try:
        main.run(supervisor_settings(settings, user))
    except AlreadyLockedError as error:
        raise UserError(f"Another supervisor works on this data folder: {error}.") from error
    except MachineUnfitError as error:
        raise UserError(f"{error}.") from error


def supervisor_settings(settings: Settings, user: SystemUser) -> SupervisorSettings:
    """Say to the supervisor what concerns it."""
    return SupervisorSettings(
        oci=OciSettings(
            sandboxes_dir=settings.sandboxes_dir,
            run_dir=settings.run_dir,
            images_dir=settings.images_dir,
            image=settings.image,
            oci_runtime=settings.oci_runtime,
            zygote_user=settings.zygote_user,
            egress_socket=settings.egress_socket_path if has_egress(settings) else None,
            egress_ports=settings.egress_tcp_ports,
            cgroup_parent=settings.cgroup_parent,
            sandboxes_max=settings.sandboxes_max,
            memory_bytes_max=settings.memory_bytes_max,
            memory_overcommit=settings.memory_overcommit,
            memory_free_bytes_min=settings.memory_free_bytes_min,
            disk_overcommit=settings.disk_overcommit,
            disk_free_bytes_min=settings.disk_free_bytes_min,
            pool_spec=_pool_spec(settings),
            pool_min=settings.pool_min,
            pool_max=settings.pool_max,
        ),
        socket_path=settings.supervisor_socket_path,
        server_uid=user.uid,
        server_gid=user.gid,
    )


def _pool_spec(settings: Settings) -> SandboxSpec:
    """Give what a container has whose maker asks for nothing in particular."""
    return SandboxSpec(
        memory_bytes=NewContainer(name="").memory_limit.size_bytes,
        disk_bytes=settings.disk_bytes,
        pids_max=settings.pids_max,
        cpus=settings.cpus if settings.cpus is not None else float(os.cpu_count() or 1),
    )
