"""What a backup holds of disks that stand still, of those that do not, and of what goes away meanwhile."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from atoll.backup import database_copy, disk_copy, room, stillness, taking
from atoll.backup.errors import BackupError
from atoll.backup.manifest import read_manifest
from atoll.backup.taking import Source
from atoll.model.ids import SandboxId
from atoll.runtime.contract import SandboxSpec
from atoll.runtime.oci import loop_device, record
from atoll.runtime.oci.disk import DISK_NAME
from tests.harness.poll import wait_until
from tests.unit.backup.fake_supervisor import FakeSupervisor

IDLE = SandboxId("sbx_" + "0" * 32)
BUSY = SandboxId("sbx_" + "1" * 32)
NAMES = {"cntr_idle": IDLE, "cntr_busy": BUSY}
IMAGE = "img_" + "0" * 32
FILE = "file-" + "0" * 32
SPEC = SandboxSpec(memory_bytes=1 << 30, disk_bytes=1 << 20, pids_max=256, cpus=1.0)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "blobs").mkdir(parents=True)
    (folder / "images" / IMAGE / "rootfs").mkdir(parents=True)
    (folder / "blobs" / FILE).write_bytes(b"uploaded")
    with closing(sqlite3.connect(folder / "atoll.db")) as database:
        database.executescript(
            "CREATE TABLE containers (id, sandbox_id); CREATE TABLE files (id); CREATE TABLE alembic_version "
            "(version_num); INSERT INTO alembic_version VALUES ('1')"
        )
        database.execute("INSERT INTO files VALUES (?)", (FILE,))
        database.executemany("INSERT INTO containers VALUES (?, ?)", NAMES.items())
        database.commit()
    for sandbox_id in NAMES.values():
        sandbox = folder / "sandboxes" / sandbox_id
        sandbox.mkdir(parents=True)
        record.write(sandbox, record.Record(id=sandbox_id, created_at=1.0, image_id=IMAGE, spec=SPEC))
        (sandbox / DISK_NAME).write_bytes(sandbox_id.encode() * 4096)
        os.utime(sandbox / DISK_NAME, (1, 1))  # nobody has written to it for long
    return folder


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    folder = tmp_path / "backup"
    folder.mkdir()
    return folder


def source(data_dir: Path, *, runs: bool, images_target: Path | None = None) -> Source:
    return Source(
        data_dir=data_dir,
        sandboxes_dir=data_dir / "sandboxes",
        blobs_dir=data_dir / "blobs",
        database=data_dir / "atoll.db",
        images_dir=data_dir / "images",
        images_target=images_target,
        supervisor_socket=data_dir.parent / "socket" if runs else None,
    )


def disk_of(folder: Path, sandbox_id: str) -> Path:
    return folder / "sandboxes" / sandbox_id / DISK_NAME


def writer(disk: Path) -> Callable[[int], None]:
    """Give what writes to a disk whenever something was copied."""

    def write(_: int) -> None:
        with disk.open("r+b") as file:
            file.write(os.urandom(16))

    return write


@pytest.mark.parametrize(
    ("is_still", "lasts", "is_slow", "holds"),
    [
        pytest.param(False, True, False, 1, id="cannot be frozen"),
        pytest.param(True, False, False, 3, id="the hold ends early"),
        pytest.param(None, True, False, 1, id="the supervisor fails"),
        pytest.param(True, True, True, 0, id="too slow to be held"),
    ],
)
def test_what_cannot_be_held_is_whole_when_it_stood_still_and_torn_when_it_did_not(
    data_dir: Path,
    backup: Path,
    *,
    monkeypatch: pytest.MonkeyPatch,
    is_still: bool | None,
    lasts: bool,
    is_slow: bool,
    holds: int,
) -> None:
    if is_slow:
        monkeypatch.setattr(disk_copy, "_LARGE_BYTES", 0)
        monkeypatch.setattr(disk_copy, "_QUICK_S", -1.0)
    supervisor = FakeSupervisor(is_still, lasts)
    write = writer(disk_of(data_dir, BUSY))
    paused: list[float] = []

    def advance(size: int) -> None:
        write(size)
        if not lasts:
            wait_until(lambda: not supervisor.holds, what="the end of the hold")

    with supervisor.at(data_dir.parent / "socket"):
        taken = taking.take(source(data_dir, runs=True), backup, advance, pause=paused.append)
    assert supervisor.asked.count(IDLE) == holds
    assert set(taken.torn) == {"cntr_busy"}
    assert paused
    assert taken.containers == 2
    manifest = read_manifest(backup)
    assert manifest.torn == (BUSY,)
    assert disk_of(backup, IDLE).read_bytes() == disk_of(data_dir, IDLE).read_bytes()
    assert not disk_of(backup, BUSY).exists()
    assert taken.torn["cntr_busy"].path.stat().st_size == disk_of(data_dir, BUSY).stat().st_size


def test_a_disk_that_is_held_is_whole(data_dir: Path, backup: Path) -> None:
    supervisor = FakeSupervisor(is_still=True, lasts=True)
    with supervisor.at(data_dir.parent / "socket"):
        taken = taking.take(source(data_dir, runs=True), backup, lambda _: None)
    assert supervisor.asked == [IDLE, BUSY]
    assert not taken.torn


def test_a_large_disk_is_held_only_for_what_changed_meanwhile(
    data_dir: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_copy, "_LARGE_BYTES", 0)
    supervisor = FakeSupervisor(is_still=True, lasts=True)
    with supervisor.at(data_dir.parent / "socket"):
        taken = taking.take(source(data_dir, runs=True), backup, writer(disk_of(data_dir, BUSY)), lambda _: None)
    assert supervisor.asked == [BUSY]
    assert not taken.torn


def test_a_disk_that_something_is_on_its_way_to_does_not_stand_still(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = disk_of(data_dir, IDLE)
    assert stillness.settled(disk, lambda _: None) is not None
    monkeypatch.setattr(loop_device, "is_writing", IDLE.__eq__)
    assert stillness.settled(disk, lambda _: None) is None


def test_a_torn_disk_is_tried_again_when_all_others_are_done(data_dir: Path, backup: Path) -> None:
    disk = disk_of(data_dir, BUSY)
    write = writer(disk)
    copied = []

    def advance(size: int) -> None:
        copied.append(size)
        if len(copied) <= 4:  # the upload, the other disk, and two tries
            write(size)

    with FakeSupervisor(is_still=False, lasts=True).at(data_dir.parent / "socket"):
        taken = taking.take(source(data_dir, runs=True), backup, advance, lambda _: os.utime(disk, (1, 1)))
    assert len(copied) == 5
    assert not taken.torn
    assert taken.containers == 2
    assert read_manifest(backup).torn == ()
    assert disk_of(backup, BUSY).read_bytes() == disk.read_bytes()


def test_a_container_that_goes_away_while_its_disk_is_copied_is_not_torn_but_gone(
    data_dir: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_copy, "_LARGE_BYTES", 0)
    monkeypatch.setattr(disk_copy, "_QUICK_S", -1.0)
    (data_dir / "blobs" / FILE).unlink()
    disk_of(data_dir, IDLE).touch()

    def delete(_: int) -> None:
        shutil.rmtree(data_dir / "sandboxes" / IDLE, ignore_errors=True)
        with closing(sqlite3.connect(data_dir / "atoll.db")) as database:
            database.execute("DELETE FROM containers WHERE sandbox_id = ?", (IDLE,))
            database.commit()

    taken = taking.take(source(data_dir, runs=True), backup, delete, lambda _: None)
    assert not taken.torn
    assert taken.containers == 1
    assert read_manifest(backup).torn == ()


def test_a_damaged_record_keeps_nothing_else_from_being_saved(data_dir: Path, backup: Path) -> None:
    (data_dir / "sandboxes" / IDLE / record.RECORD_NAME).write_text("{")
    taken = taking.take(source(data_dir, runs=False), backup, lambda _: None)
    assert "damaged" in taken.torn["cntr_idle"].reason
    assert disk_of(backup, BUSY).exists()


def test_an_upload_that_is_deleted_just_after_it_was_copied(data_dir: Path, backup: Path) -> None:
    taken = taking.take(
        source(data_dir, runs=False), backup, lambda _: (data_dir / "blobs" / FILE).unlink(missing_ok=True)
    )
    assert taken.files == 1
    assert (backup / "blobs" / FILE).read_bytes() == b"uploaded"


def test_images_that_backups_share_are_copied_once(data_dir: Path, backup: Path) -> None:
    shared = backup.parent / "images"
    taking.take(source(data_dir, runs=False, images_target=shared), backup, lambda _: None)
    assert [path.name for path in shared.iterdir()] == [IMAGE]
    (shared / IMAGE / "mine").touch()
    again = backup.parent / "again"
    again.mkdir()
    taking.take(source(data_dir, runs=False, images_target=shared), again, lambda _: None)
    assert (shared / IMAGE / "mine").exists()
    assert read_manifest(again).images == (IMAGE,)
    assert not (again / "images").exists()


def test_an_image_that_is_not_there_is_named(data_dir: Path, backup: Path) -> None:
    (data_dir / "images").rename(data_dir / "elsewhere")
    assert taking.take(source(data_dir, runs=False), backup, lambda _: None).images_missing == (IMAGE,)


def test_a_database_that_the_server_does_not_use_is_refused(data_dir: Path, backup: Path) -> None:
    (data_dir / "database-id").write_text("the server's\n")
    with closing(sqlite3.connect(data_dir / "atoll.db")) as database:
        database.executescript("CREATE TABLE identity (id); INSERT INTO identity VALUES ('one of before')")
    with pytest.raises(BackupError, match="is not the one that the server"):
        taking.take(source(data_dir, runs=False), backup, lambda _: None)


def test_a_database_that_fails_is_said_in_words(data_dir: Path, backup: Path) -> None:
    (data_dir / "atoll.db").write_bytes(b"no database" * 1000)
    with pytest.raises(BackupError, match="cannot be copied"):
        taking.take(source(data_dir, runs=False), backup, lambda _: None)
    with pytest.raises(BackupError, match="cannot be changed"):
        database_copy.prune(data_dir / "atoll.db", containers=("cntr_gone",))
    with pytest.raises(BackupError, match="cannot be read"):
        database_copy.sandbox_of(data_dir / "atoll.db", "cntr_gone")


def test_what_would_not_fit_is_refused(data_dir: Path, backup: Path) -> None:
    taking.require_room(source(data_dir, runs=False), backup, spared_bytes=0)
    if not room.can_share_blocks(data_dir, backup):
        with pytest.raises(BackupError, match="There is no room"):
            taking.require_room(source(data_dir, runs=False), backup, spared_bytes=1 << 60)
