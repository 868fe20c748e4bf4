"""Root file systems to unpack into, and tars as a stranger would make them."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from atoll.images.rootfs import Rootfs
from tests.harness.requirements import unmet


@pytest.fixture
def as_root() -> None:
    """Check that owners can be set."""
    if os.geteuid() != 0:
        unmet("images belong to root")


@pytest.fixture
def root(tmp_path: Path, as_root: None) -> Path:
    """Give an empty folder for a root file system; beside it lies what nobody may touch."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/canary").write_text("alive")
    folder = tmp_path / "rootfs"
    folder.mkdir()
    return folder


@pytest.fixture
def rootfs(root: Path) -> Iterator[Rootfs]:
    """Give the same folder, opened."""
    with Rootfs(root) as opened:
        yield opened


def make_tar(*members: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]) -> bytes:
    """Write headers, with content where there is any, exactly as they are given."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            header, content = member if isinstance(member, tuple) else (member, b"")
            tar.addfile(header, io.BytesIO(content))
    return buffer.getvalue()


def file(name: str, content: bytes = b"", *, mode: int = 0o644, owner: int = 0) -> tuple[tarfile.TarInfo, bytes]:
    """Describe a regular file."""
    header = tarfile.TarInfo(name)
    header.size, header.mode, header.uid, header.gid = len(content), mode, owner, owner
    return header, content


def entry(name: str, kind: bytes, *, target: str = "", mode: int = 0o755) -> tarfile.TarInfo:
    """Describe anything without content."""
    header = tarfile.TarInfo(name)
    header.type, header.linkname, header.mode = kind, target, mode
    return header


def folder(name: str, *, mode: int = 0o755) -> tarfile.TarInfo:
    """Describe a folder."""
    return entry(name, tarfile.DIRTYPE, mode=mode)


def symlink(name: str, target: str) -> tarfile.TarInfo:
    """Describe a symbolic link."""
    return entry(name, tarfile.SYMTYPE, target=target)


def hard_link(name: str, target: str) -> tarfile.TarInfo:
    """Describe another name of a file."""
    return entry(name, tarfile.LNKTYPE, target=target)


def python_root() -> list[tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]]:
    """Describe the least that counts as an image."""
    return [
        file("usr/bin/python3", b"#!", mode=0o755),
        file("usr/lib/python3.11/dist-packages/IPython/__init__.py"),
        file("etc/passwd", b"root:x:0:0:root:/root:/bin/bash\nubuntu:x:1000:1000::/home/ubuntu:/bin/sh\n"),
        file("etc/group", b"root:x:0:\nubuntu:x:1000:\n"),
    ]
