"""Disks are sparse, whole, and copied from templates."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from atoll.runtime.oci.disk import DiskMaker
from tests.harness.requirements import unmet

MIB = 1 << 20


@pytest.fixture
def maker(tmp_path: Path) -> DiskMaker:
    if os.geteuid() != 0:
        unmet("the folders in a disk are owned by others: needs root")
    return DiskMaker(tmp_path / "templates", 1000)


def make(maker: DiskMaker, folder: Path, size_bytes: int) -> Path:
    folder.mkdir()
    return maker.make(folder, size_bytes)


def test_a_disk(maker: DiskMaker, tmp_path: Path) -> None:
    disk = make(maker, tmp_path / "a", 8192 * MIB)
    assert disk == tmp_path / "a/disk.ext4"
    assert disk.stat().st_size == 8192 * MIB
    assert disk.stat().st_blocks * 512 < MIB
    assert disk.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in disk.parent.iterdir()] == ["disk.ext4"]
    subprocess.run(["fsck.ext4", "-fn", str(disk)], check=True, capture_output=True)
    listing = subprocess.run(["debugfs", "-R", "ls -l /", str(disk)], check=True, capture_output=True, text=True)
    owners = {line.split()[-1]: line.split()[3] for line in listing.stdout.splitlines() if line.strip()}
    assert owners.keys() >= {"upper", "work", "data"}
    assert (owners["upper"], owners["work"], owners["data"]) == ("0", "0", "1000")


def test_what_is_in_a_disk_is_no_matter_of_the_system(
    maker: DiskMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = _features(make(maker, tmp_path / "a", 64 * MIB))
    assert {"has_journal", "extent", "metadata_csum"} < features
    other = tmp_path / "mke2fs.conf"
    other.write_text("[defaults]\nbase_features = resize_inode\n[fs_types]\next4 = {\nfeatures = quota\n}\n")
    monkeypatch.setenv("MKE2FS_CONFIG", str(other))
    assert _features(make(maker, tmp_path / "b", 65 * MIB)) == features


def _features(disk: Path) -> set[str]:
    said = subprocess.run(["dumpe2fs", "-h", str(disk)], check=True, capture_output=True, text=True).stdout
    (line,) = (line for line in said.splitlines() if line.startswith("Filesystem features:"))
    return set(line.partition(":")[2].split())


def test_copies_are_alike(maker: DiskMaker, tmp_path: Path) -> None:
    first, second = (make(maker, tmp_path / name, 64 * MIB) for name in ("a", "b"))
    subprocess.run(["cmp", str(first), str(second)], check=True)


def test_each_size_has_a_template_and_there_are_not_too_many(maker: DiskMaker, tmp_path: Path) -> None:
    for number in range(18):
        shutil.rmtree(make(maker, tmp_path / "a", (64 + number) * MIB).parent)
    assert len(list((tmp_path / "templates").iterdir())) == 16


def test_a_half_made_template_is_made_again(maker: DiskMaker, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / f"v2-{64 * MIB}.unfinished").write_text("half")
    disk = make(maker, tmp_path / "a", 64 * MIB)
    subprocess.run(["fsck.ext4", "-fn", str(disk)], check=True, capture_output=True)
