"""The folder of images: what is whole on it, and how something becomes whole.

An image is made in its final place and counts from the moment its JSON is there. That is written last, to disk
before it gets its name, after everything else has reached the disk. So whatever interrupts a build, a power cut
included, leaves a folder without JSON, which nobody uses and the next build clears away.
"""

import ctypes
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from atoll.images.errors import BuildError, ImageNotFoundError
from atoll.images.image import IMAGE_ID, MANIFEST, Image, manifest, read_image
from atoll.images.progress import Progress, Report

_LOCK: Final = ".lock"


def list_images(images_dir: Path) -> list[Image]:
    """Give the whole images, newest first. Half-built ones and strange files are passed over."""
    try:
        folders = [entry for entry in images_dir.iterdir() if IMAGE_ID.fullmatch(entry.name)]
    except FileNotFoundError:
        return []
    images = [image for folder in folders if (image := read_image(folder)) is not None]
    return sorted(images, key=lambda image: (image.created_at, image.id), reverse=True)


def find(images_dir: Path, name_or_id: str) -> Image:
    """Give the image with that id, or the newest with that name. Raises ``ImageNotFoundError``."""
    for image in list_images(images_dir):
        if name_or_id in (image.id, image.name):
            return image
    raise ImageNotFoundError(
        f"There is no image {name_or_id!r} in {images_dir}. `atoll image list` shows what is there."
    )


@contextmanager
def building(images_dir: Path, report: Report) -> Iterator[int]:
    """Hold the only right to change the shelf; on entry, what earlier builds left half-made is cleared away.

    Gives the lock's descriptor: a process that inherits it holds the lock too, until the last of them is gone.
    """
    if os.geteuid() != 0:
        raise BuildError("Images belong to root: run this as root, for example with sudo.")
    images_dir.mkdir(parents=True, exist_ok=True)
    images_dir.chmod(0o711)
    lock = os.open(images_dir / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _take(lock, report)
        _clear_half_built(images_dir)
        yield lock
    finally:
        os.close(lock)


def make_folder(images_dir: Path, image_id: str) -> Path:
    """Make the closed folder, with ``rootfs`` in it, in which an image is made."""
    folder = images_dir / image_id
    folder.mkdir(mode=0o700)
    (folder / "rootfs").mkdir(mode=0o755)
    return folder


def publish(image: Image) -> Image:
    """Make the image count: flush all of it to disk, then give its JSON its name."""
    folder = os.open(image.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(folder) != 0:
            raise OSError(ctypes.get_errno(), f"The image cannot be written to disk: {os.strerror(ctypes.get_errno())}")
        temporary = f"{MANIFEST}.new"
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=folder)
        with open(file, "wb") as stream:  # noqa: PTH123 - a descriptor, not a path
            stream.write(manifest(image))
            stream.flush()
            os.fsync(file)
        os.rename(temporary, MANIFEST, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    finally:
        os.close(folder)
    return image


def _take(lock: int, report: Report) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        report(Progress("Waiting for another build", 0.0))
        fcntl.flock(lock, fcntl.LOCK_EX)


def _clear_half_built(images_dir: Path) -> None:
    for entry in images_dir.iterdir():
        if IMAGE_ID.fullmatch(entry.name) and not (entry / MANIFEST).exists():
            shutil.rmtree(entry)
