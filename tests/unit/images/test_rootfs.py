"""Paths inside a root file system mean what they mean inside."""

from pathlib import Path, PurePosixPath

import pytest

from atoll.images.rootfs import Rootfs


def test_absolute_links_lead_to_places_inside(rootfs: Rootfs, root: Path) -> None:
    (root / "etc").symlink_to("/real/etc")
    rootfs.make_folder("/real/etc", owner=0)
    rootfs.write("/etc/passwd", b"inside")
    assert (root / "real/etc/passwd").read_bytes() == b"inside"
    assert rootfs.read("/etc/passwd", 100) == b"inside"


def test_a_dangling_link_among_the_parents_is_an_error(rootfs: Rootfs, root: Path) -> None:
    (root / "etc").symlink_to("/nowhere")
    with pytest.raises(OSError, match="etc"):
        rootfs.write("/etc/passwd", b"x")


def test_a_written_file_replaces_a_link(rootfs: Rootfs, root: Path) -> None:
    canary = root.parent / "outside/canary"
    (root / "name").symlink_to(canary)
    rootfs.write("/name", b"x")
    assert canary.read_text() == "alive"


def test_reading_gives_nothing_for_what_is_no_file(rootfs: Rootfs, root: Path) -> None:
    (root / "folder").mkdir()
    (root / "way").symlink_to(root.parent / "outside/canary")
    assert rootfs.read("/folder", 10) is None
    assert rootfs.read("/missing", 10) is None
    assert rootfs.read("/way", 10) is None


def test_programs_are_executable_files(rootfs: Rootfs, root: Path) -> None:
    rootfs.write("/usr/bin/python3.11", b"", mode=0o755)
    (root / "usr/bin/python3").symlink_to("/usr/bin/python3.11")
    rootfs.write("/usr/bin/text", b"")
    assert rootfs.is_program("/usr/bin/python3")
    assert not rootfs.is_program("/usr/bin/text")
    assert not rootfs.is_program("/usr/bin")


def test_the_root_itself_is_never_removed(rootfs: Rootfs) -> None:
    with pytest.raises(ValueError, match=r"\.\."):
        rootfs.write("/a/..", b"")
    assert rootfs.parent(PurePosixPath("deep/er/file")) >= 0
