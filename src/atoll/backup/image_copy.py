"""Copies of images: at their place when all of it is there, made once for as many backups as share a folder of them."""

import errno
import shutil
import subprocess
import tempfile
from pathlib import Path

from atoll.backup.errors import BackupError


def copy_image(source: Path, images_dir: Path) -> Path | None:
    """Copy an image as it is, owners, links and all, into a folder of images; ``None`` when it is there already.

    Raises ``BackupError``, ``OSError``.
    """
    target = images_dir / source.name
    if target.exists():
        return None
    # A link here would make another folder of this machine the root that containers stand on.
    if any(path.is_symlink() for path in (source.parent, source, source / "rootfs")):
        raise BackupError(f"The image {source} is a link, or lies in a folder that is one; an image is a folder.")
    coming = Path(tempfile.mkdtemp(prefix=".coming-", dir=images_dir))
    try:
        _copy_tree(source, coming)
        try:
            (coming / source.name).rename(target)
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:  # somebody else was quicker
                return None
            raise
    finally:
        shutil.rmtree(coming)
    return target


def _copy_tree(folder: Path, into: Path) -> None:
    done = subprocess.run(
        ["cp", "--archive", "--reflink=auto", "--one-file-system", "--", str(folder), str(into)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BackupError(f"The image {folder} cannot be copied: {done.stderr.strip()[:500]}")
