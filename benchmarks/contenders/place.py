"""What contenders are given: the image that all share where they can, a folder to work in, the peers' Python."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from atoll.images.errors import ImageNotFoundError
from atoll.images.shelf import find
from benchmarks.contenders.contender import NotHereError
from benchmarks.contenders.peers import PeersEnvironment


@dataclass(frozen=True, slots=True)
class Place:
    """``rootfs`` holds the image's files and ``python`` its Python, inside it; ``scratch`` is gone with the run."""

    rootfs: Path
    python: str
    image_id: str
    scratch: Path
    peers: PeersEnvironment


@contextmanager
def prepared(images_dir: Path, peers: PeersEnvironment) -> Iterator[Place]:
    """Find the newest default image and make a folder to work in. Raises ``NotHereError``."""
    if os.geteuid() != 0:
        raise NotHereError("Images belong to root, and so does most of what is compared: run this as root.")
    try:
        image = find(images_dir, "default")
    except ImageNotFoundError as error:
        raise NotHereError(str(error)) from error
    scratch = Path(tempfile.mkdtemp(prefix="atoll-compare-", dir="/var/tmp"))
    try:
        yield Place(images_dir / image.id / "rootfs", image.python, image.id, scratch, peers)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
