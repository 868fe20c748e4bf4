"""Loop devices: a file as a block device that vanishes with its last user."""

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_LOOP_CTL_GET_FREE: Final = 0x4C82
_LOOP_CONFIGURE: Final = 0x4C0A
_LO_FLAGS_AUTOCLEAR: Final = 4
_LO_FLAGS_DIRECT_IO: Final = 16
_LO_FLAGS_OFFSET: Final = 52
_LOOP_INFO_BYTES: Final = 232
_ATTEMPTS_MAX: Final = 64


class NoLoopDeviceError(OSError):
    """Others were always faster: no free loop device could be had."""


@contextmanager
def attached(image: int, nodes: Path) -> Iterator[Path]:
    """Give the path of a block device that stands for the open file ``image``.

    Its node is made in ``nodes``, a folder of the caller's own: the one in ``/dev`` is made late by udev or, in a
    container, not at all. The device stays while this context or a mount holds it and is then freed by the kernel.
    """
    node, device = _attach(image, nodes)
    try:
        yield node
    finally:
        os.close(device)
        node.unlink()


def backs(sandbox_id: str, block_devices: Path = Path("/sys/block")) -> bool:
    """Tell whether some loop device still stands on the disk of that sandbox.

    The kernel frees loop devices a moment after the last process that saw the mount; until then the disk must not be
    mounted a second time. Only the end of the path is compared: after its namespace is gone, a path may be shown from
    the root of its own file system.
    """
    return any(_devices(sandbox_id, block_devices))


def is_writing(sandbox_id: str, block_devices: Path = Path("/sys/block")) -> bool:
    """Tell whether something is on its way to the disk of that sandbox: begun, and not there yet."""
    for device in _devices(sandbox_id, block_devices):
        try:
            _reads, writes = (device / "inflight").read_text().split()
        except OSError:  # freed since the folder was listed
            continue
        if int(writes):
            return True
    return False


def _devices(sandbox_id: str, block_devices: Path) -> Iterator[Path]:
    wanted = f"/{sandbox_id}/disk.ext4"
    for backing_file in block_devices.glob("loop*/loop/backing_file"):
        try:
            path = backing_file.read_text().rstrip("\n")
        except OSError:
            continue
        if path.endswith(wanted):
            yield backing_file.parent.parent


def _attach(image: int, nodes: Path) -> tuple[Path, int]:
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_ATTEMPTS_MAX):
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            node = _make_node(number, nodes)
            device = os.open(node, os.O_RDWR | os.O_CLOEXEC)
            try:
                _configure(device, image)
            except OSError as error:
                os.close(device)
                node.unlink()
                if error.errno != errno.EBUSY:  # busy: somebody took this number between our two calls
                    raise
                continue
            return node, device
    finally:
        os.close(control)
    raise NoLoopDeviceError(errno.EBUSY, "every free loop device was taken before it could be used")


def _make_node(number: int, nodes: Path) -> Path:
    major, minor = Path(f"/sys/block/loop{number}/dev").read_text().strip().split(":")
    node = nodes / f"loop{number}"
    os.mknod(node, stat.S_IFBLK | 0o600, os.makedev(int(major), int(minor)))
    return node


def _configure(device: int, image: int) -> None:
    try:
        _configure_with(device, image, _LO_FLAGS_AUTOCLEAR | _LO_FLAGS_DIRECT_IO)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # The file system under data_dir has no direct I/O (tmpfs, some network ones); only the cache is kept twice.
        _configure_with(device, image, _LO_FLAGS_AUTOCLEAR)


def _configure_with(device: int, image: int, flags: int) -> None:
    info = bytearray(_LOOP_INFO_BYTES)
    struct.pack_into("I", info, _LO_FLAGS_OFFSET, flags)
    fcntl.ioctl(device, _LOOP_CONFIGURE, struct.pack("II", image, 0) + bytes(info) + bytes(64))
