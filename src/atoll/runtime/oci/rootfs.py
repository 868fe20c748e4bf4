"""Puts the file systems of a sandbox together: image below, its own disk above, owners shifted to its ids."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from atoll import mounts
from atoll.mounts import Flags
from atoll.runtime.oci import loop_device, system_calls

# noinit_itable: no kernel thread that goes on writing every new disk. discard: what is deleted inside is given back
# to the host. No redirect_dir and metacopy: they make the upper layer say where in the lower one to look.
_DISK_OPTIONS = "noinit_itable,discard"
_OVERLAY_OPTIONS = "redirect_dir=off,metacopy=off,index=off,xino=off"
_FLAGS = Flags.NOSUID | Flags.NODEV
_SCRATCH_OPTIONS = "mode=755,size=16m,nr_inodes=4k"


@dataclass(frozen=True, slots=True)
class Rootfs:
    """Mounted trees for the OCI runtime: ``root`` for ``/``, ``data`` for ``/mnt/data``; ``log`` is an open file."""

    root: Path
    data: Path
    log: int


def prepare_staging(staging: Path) -> None:
    """Mount an empty file system for the folders of :func:`staged`, seen by this mount namespace only."""
    staging.mkdir(mode=0o711, exist_ok=True)
    # Device nodes are made in it, for loop devices.
    mounts.mount("tmpfs", staging, "tmpfs", Flags.NOSUID, "mode=711,size=16m")


@contextmanager
def staged(staging: Path, image_rootfs: Path, disk: Path, first_host_id: int, namespace: int) -> Iterator[Rootfs]:
    """Mount a sandbox's trees in the new folder ``staging`` for as long as the context lasts.

    ``namespace`` is a user namespace that maps ids from 0 on to those from ``first_host_id`` on.

    A process that copied the mount namespace meanwhile keeps its own copy of the mounts and with them disk and loop
    device. Must run in a mount namespace of this process's own. Raises ``OSError``.
    """
    with ExitStack() as undo:
        staging.mkdir(mode=0o711)
        undo.callback(staging.rmdir)
        lower, own, shifted, root = (_folder(undo, staging / name) for name in ("lower", "own", "shifted", "root"))
        mounts.mount_idmapped(image_rootfs, lower, namespace)
        undo.callback(_detach, lower)
        _mount_disk(undo, disk, own, staging)
        mounts.mount_idmapped(own, shifted, namespace)
        undo.callback(_detach, shifted)
        layers = f"lowerdir={lower},upperdir={shifted}/upper,workdir={shifted}/work"
        with system_calls.files_owned_by(first_host_id):
            mounts.mount("overlay", root, "overlay", _FLAGS, f"{layers},{_OVERLAY_OPTIONS}")
        undo.callback(_detach, root)
        # On the sandbox's own disk, where it counts against the sandbox, and in no folder that the sandbox sees.
        log = os.open(own / "agent.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        undo.callback(os.close, log)
        yield Rootfs(root=root, data=shifted / "data", log=log)


@contextmanager
def scratch_staged(staging: Path, image_rootfs: Path, host_id: int, namespace: int) -> Iterator[Path]:
    """Mount an image with a little room in memory above it, for what the user ``host_id`` writes into its home.

    ``namespace`` maps the image's ids, the owner of its home to ``host_id``. Used as :func:`staged` is.
    """
    with ExitStack() as undo:
        staging.mkdir(mode=0o711)
        undo.callback(staging.rmdir)
        lower, own, root = (_folder(undo, staging / name) for name in ("lower", "own", "root"))
        mounts.mount_idmapped(image_rootfs, lower, namespace)
        undo.callback(_detach, lower)
        mounts.mount("tmpfs", own, "tmpfs", _FLAGS, _SCRATCH_OPTIONS)
        undo.callback(_detach, own)
        for name in ("upper", "work"):
            (own / name).mkdir(mode=0o755)
        layers = f"lowerdir={lower},upperdir={own}/upper,workdir={own}/work"
        with system_calls.files_owned_by(host_id):
            mounts.mount("overlay", root, "overlay", _FLAGS, f"{layers},{_OVERLAY_OPTIONS}")
        undo.callback(_detach, root)
        yield root


def _folder(undo: ExitStack, path: Path) -> Path:
    path.mkdir(mode=0o711)
    undo.callback(path.rmdir)
    return path


def _mount_disk(undo: ExitStack, disk: Path, target: Path, nodes: Path) -> None:
    image = os.open(disk, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        with loop_device.attached(image, nodes) as device:
            mounts.mount(str(device), target, "ext4", _FLAGS, _DISK_OPTIONS)
            undo.callback(_detach, target)
    finally:
        os.close(image)


def _detach(target: Path) -> None:
    # A failed undo must not hide why things are undone; a mount left over shows when the folder is not empty.
    with suppress(FileNotFoundError):
        mounts.detach(target)
