"""Bounds what outlives its maker in a sandbox's memory: System V and POSIX shared memory, messages, semaphores.

Ending processes gives none of it back, so without bounds a sandbox could fill its memory limit for good.
"""

from pathlib import Path
from typing import Final

from atoll.runtime.oci.system_calls import Namespace, become_thread_user, inside

# Shared memory 64 MiB; and segments vanish with the last process that has them attached.
LIMITS: Final = {
    "kernel/shmmax": str(64 << 20),
    "kernel/shmall": str((64 << 20) // 4096),
    "kernel/shmmni": "1024",
    "kernel/shm_rmid_forced": "1",
    "kernel/msgmni": "64",
    "kernel/sem": "250 32000 32 128",
    "fs/mqueue/queues_max": "16",
}


def set_in_namespace_of(pidfd: int, first_host_id: int) -> None:
    """Set the limits for the IPC namespace of a process whose user namespace begins at that id. Raises ``OSError``.

    Not by the spec's ``sysctl``: the OCI runtime would set it inside the user namespace, which kernels before 6.10
    refuse; they let only the host's root, later ones only the namespace's root.
    """

    def act() -> None:
        try:
            _set()
        except PermissionError:
            become_thread_user(first_host_id)
            _set()

    inside(pidfd, Namespace.IPC, act)


def _set() -> None:
    for name, value in LIMITS.items():
        Path("/proc/sys", name).write_text(value)
