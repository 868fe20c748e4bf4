"""Bringing a backup back that somebody else may have made."""

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from atoll.backup import restoring, sparse_file
from atoll.backup.errors import BackupError
from atoll.backup.manifest import TORN_NAME, read_manifest
from atoll.runtime.oci.disk import DISK_NAME

IMAGE = "img_" + "0" * 32
OTHER_IMAGE = "img_" + "1" * 32
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
    files = {name: {"sha256": digest_of(folder, name), "mode": 0o600, "owner": "root"} for name in names}
    value = {"format": 1, "atoll": "0", "made_at": "", "database_revision": None, "images": images}
    (folder / "manifest.json").write_text(json.dumps({**value, "files": files}))


def digest_of(folder: Path, name: str) -> str:
    known = (folder / name).is_file() and folder in (folder / name).resolve().parents
    return sparse_file.digest_of(folder / name, lambda _: None) if known else ""


def restore(folder: Path, data_dir: Path, images_dir: Path | None = None, database: Path | None = None) -> None:
    places = restoring.Places(data_dir, images_dir or data_dir / "images", database, folder.parent / "images")
    restoring.restore(folder, read_manifest(folder), places, OWNERS, lambda _: None)


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


def test_images_come_to_the_folder_of_the_settings_and_from_beside_the_backup(backup: Path, data_dir: Path) -> None:
    manifest(backup, "api-key", images=(IMAGE, OTHER_IMAGE))
    (backup / "images" / IMAGE / "rootfs").mkdir()
    (backup.parent / "images" / OTHER_IMAGE / "rootfs").mkdir(parents=True)
    elsewhere = data_dir.parent / "elsewhere"
    elsewhere.mkdir()
    shutil.rmtree(data_dir / "images")
    restore(backup, data_dir, elsewhere)
    assert {path.name for path in elsewhere.iterdir()} == {IMAGE, OTHER_IMAGE}
    assert not (data_dir / "images").exists()


def test_images_that_came_are_taken_back_when_a_later_one_cannot(backup: Path, data_dir: Path) -> None:
    manifest(backup, "api-key", images=(IMAGE, OTHER_IMAGE))
    (backup / "images" / OTHER_IMAGE / "rootfs").mkdir(parents=True)
    (backup / "images" / OTHER_IMAGE / "rootfs").rmdir()
    (backup / "images" / OTHER_IMAGE / "rootfs").symlink_to("/")
    with pytest.raises(BackupError, match="is a link"):
        restore(backup, data_dir)
    assert [path.name for path in (data_dir / "images").iterdir()] == ["img_1"]
    assert not (data_dir / "api-key").exists()


def test_a_database_goes_where_the_settings_have_it_and_replaces_none(backup: Path, data_dir: Path) -> None:
    database = data_dir.parent / "databases" / "atoll.db"
    with pytest.raises(BackupError, match="is not there"):
        restoring.check_no_database(database)
    database.parent.mkdir()
    (database.parent / "atoll.db-wal").touch()
    with pytest.raises(BackupError, match=r"atoll\.db-wal is there"):
        restoring.check_no_database(database)
    (backup / "atoll.db").write_bytes(b"a database")
    manifest(backup, "api-key", "atoll.db")
    restore(backup, data_dir, database=database)
    assert database.exists()
    assert not (data_dir / "atoll.db").exists()


def test_containers_with_torn_disks_do_not_come_back(backup: Path, data_dir: Path) -> None:
    torn, whole = "sbx_" + "0" * 32, "sbx_" + "1" * 32
    with closing(sqlite3.connect(backup / "atoll.db")) as database:
        database.executescript("CREATE TABLE containers (id, sandbox_id); CREATE TABLE files (id)")
        database.executemany("INSERT INTO containers VALUES (?, ?)", [("cntr_torn", torn), ("cntr_whole", whole)])
        database.commit()
    names = [f"sandboxes/{torn}/sandbox.json", f"sandboxes/{torn}/{TORN_NAME}", f"sandboxes/{whole}/{DISK_NAME}"]
    for name in names:
        (backup / name).parent.mkdir(parents=True, exist_ok=True)
        (backup / name).write_bytes(b"a disk")
    (data_dir / "sandboxes").mkdir()
    manifest(backup, "api-key", "atoll.db", *names)
    assert restoring.torn_containers(backup, read_manifest(backup)) == {"cntr_torn": torn}
    restore(backup, data_dir, database=data_dir / "atoll.db")
    assert [path.name for path in (data_dir / "sandboxes").iterdir()] == [whole]
    with closing(sqlite3.connect(data_dir / "atoll.db")) as database:
        assert database.execute("SELECT id FROM containers").fetchall() == [("cntr_whole",)]
