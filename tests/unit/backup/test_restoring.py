"""Bringing a backup back that somebody else may have made."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from atoll.backup import restoring, sparse_file
from atoll.backup.errors import BackupError
from atoll.backup.manifest import read_manifest

IMAGE = "img_" + "0" * 32
OWNERS = restoring.Owners(os.getuid(), os.getgid())


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    folder = tmp_path / "backup"
    (folder / "images" / IMAGE).mkdir(parents=True)
    (folder / "api-key").write_text("sk-new")
    manifest(folder, "api-key")
    return folder


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "images" / "img_1" / "rootfs").mkdir(parents=True)
    (folder / "images" / "img_1" / "rootfs" / "sh").write_text("a shell")
    return folder


def manifest(folder: Path, *names: str, images: tuple[str, ...] = ()) -> None:
    digest = sparse_file.digest_of(folder / "api-key", lambda _: None)
    entry: dict[str, Any] = {"sha256": digest, "mode": 0o600, "owner": "root"}
    value = {"format": 1, "atoll": "0", "made_at": "", "database_revision": None, "images": images}
    (folder / "manifest.json").write_text(json.dumps({**value, "files": dict.fromkeys(names, entry)}))


def restore(folder: Path, data_dir: Path) -> None:
    restoring.restore(folder, read_manifest(folder), data_dir, OWNERS, lambda _: None)


@pytest.mark.parametrize(
    "name",
    ["images/img_1/rootfs/sh", "images/img_1/rootfs/new", "run/x", "atoll.lock", "blobs/../x", "/etc/x", "blobs/x"],
)
def test_what_no_backup_has_is_neither_written_nor_taken_back(backup: Path, data_dir: Path, name: str) -> None:
    manifest(backup, "api-key", name)
    with pytest.raises(BackupError, match="nothing that a backup has"):
        restore(backup, data_dir)
    assert sorted(path.name for path in data_dir.rglob("*")) == ["images", "img_1", "rootfs", "sh"]


def test_a_link_or_a_pipe_is_no_file(backup: Path, data_dir: Path) -> None:
    (backup / "api-key").rename(backup / "elsewhere")
    (backup / "api-key").symlink_to("elsewhere")
    with pytest.raises(OSError):  # noqa: PT011 - the kernel's words
        restore(backup, data_dir)
    (backup / "api-key").unlink()
    os.mkfifo(backup / "api-key")
    with pytest.raises(OSError, match="Not a plain file"):
        restore(backup, data_dir)
    assert not (data_dir / "api-key").exists()


def test_an_image_that_is_a_link(backup: Path, data_dir: Path) -> None:
    manifest(backup, "api-key", images=(IMAGE,))
    (backup / "images" / IMAGE / "rootfs").symlink_to("/")
    with pytest.raises(BackupError, match="is a link"):
        restore(backup, data_dir)
    assert [path.name for path in (data_dir / "images").iterdir()] == ["img_1"]
    (backup / "images" / IMAGE / "rootfs").unlink()
    (backup / "images" / IMAGE / "rootfs").mkdir()
    restore(backup, data_dir)
    assert (data_dir / "images" / IMAGE / "rootfs").is_dir()
    assert {path.name for path in (data_dir / "images").iterdir()} == {"img_1", IMAGE}
