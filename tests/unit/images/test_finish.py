"""The last pass takes power out and puts the sandbox's furniture in."""

import os
import socket
import stat
from pathlib import Path

import pytest

from atoll.images.errors import ArchiveError
from atoll.images.finish import disarm, furnish
from atoll.images.progress import Stage
from atoll.images.rootfs import Rootfs


def quiet() -> Stage:
    return Stage(lambda _progress: None, "x", start=0, end=1)


def test_power_goes_and_the_rest_stays(root: Path) -> None:
    program = root / "bin/su"
    program.parent.mkdir()
    program.write_bytes(b"x")
    program.chmod(0o6755)
    os.setxattr(program, "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    os.mkfifo(root / "bin/fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "bin/socket"))
    (root / "bin/link").symlink_to("/etc/shadow")
    (root / "shared").mkdir()
    (root / "shared").chmod(0o2775)

    size = disarm(root, quiet())

    assert {path.name for path in (root / "bin").iterdir()} == {"su", "link"}
    assert stat.S_IMODE(program.stat().st_mode) == 0o755
    assert os.listxattr(program) == []
    assert stat.S_IMODE((root / "shared").stat().st_mode) == 0o775
    assert size > 0


def test_a_file_with_two_names_counts_once(root: Path) -> None:
    (root / "one").write_bytes(b"x" * 100_000)
    alone = disarm(root, quiet())
    (root / "two").hardlink_to(root / "one")
    assert disarm(root, quiet()) == alone


def test_a_stranger_among_the_owners_is_refused(root: Path) -> None:
    (root / "f").touch()
    os.chown(root / "f", 65535, 65535)
    disarm(root, quiet())
    os.chown(root / "f", 65536, 0)
    with pytest.raises(ArchiveError, match="65536:0"):
        disarm(root, quiet())


def test_the_sandbox_user_is_the_only_one_with_its_name_and_id(rootfs: Rootfs, root: Path) -> None:
    rootfs.write("/etc/passwd", b"root:x:0:0::/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\nsandbox:x:7:7::/:\n")
    rootfs.write("/etc/group", b"root:x:0:\nnode:x:1000:\n")
    furnish(rootfs)
    assert (root / "etc/passwd").read_text() == (
        "root:x:0:0::/root:/bin/sh\nsandbox:x:1000:1000::/home/sandbox:/bin/bash\n"
    )
    assert (root / "etc/group").read_text() == "root:x:0:\nsandbox:x:1000:\n"


def test_places_have_their_owners_even_where_links_were(rootfs: Rootfs, root: Path) -> None:
    (root / "home").mkdir()
    (root / "home/sandbox").symlink_to(root.parent / "outside")
    (root / "mnt").symlink_to("/srv")
    (root / "srv").mkdir()
    furnish(rootfs)
    assert (root / "home/sandbox").lstat().st_uid == 1000
    assert (root / "srv/data").stat().st_uid == 1000
    assert (root.parent / "outside").stat().st_uid == 0
    assert (root / "opt/atoll").stat().st_uid == 0
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777


def test_furnishing_again_changes_nothing(rootfs: Rootfs, root: Path) -> None:
    furnish(rootfs)
    before = (root / "etc/passwd").stat().st_ino
    furnish(rootfs)
    assert (root / "etc/passwd").stat().st_ino == before
