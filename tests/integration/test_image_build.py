"""A real build of a small recipe: killed in its midst, then made, then found."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import atoll
from atoll.images.build import build
from atoll.images.errors import BuildError
from atoll.images.progress import Progress
from atoll.images.shelf import list_images
from tests.harness.poll import wait_until
from tests.harness.requirements import unmet

RECIPE = """
name = "small"
suite = "bookworm"
[python]
version = "3.11"
glibc = "2.36"
[debian]
packages = ["python3-minimal"]
"""
BUILD = """
import sys
from pathlib import Path
from atoll.images.build import build
build(Path(sys.argv[1]), Path(sys.argv[2]), lambda progress: None)
"""
NO_NETWORK = ("Could not resolve", "Temporary failure", "Could not connect", "Unable to connect")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    if os.geteuid() != 0:
        unmet("images belong to root")
    if shutil.which("mmdebstrap") is None:
        unmet("building images needs mmdebstrap")
    folder = tmp_path / "recipe"
    (folder / "files/etc").mkdir(parents=True)
    (folder / "files/home/sandbox").mkdir(parents=True)
    (folder / "files/etc/motd").write_text("hello\n")
    (folder / "files/home/sandbox/note").write_text("mine\n")
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


def processes_below(folder: Path) -> list[str]:
    """Name the processes that work on a build there: only its confinement has the path on its command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder) in (entry / "cmdline").read_text(errors="replace"):
                found.append(entry.name)
        except OSError:
            continue
    return found


def start_and_kill(recipe: Path, images_dir: Path) -> None:
    """Begin a build and kill it with -9 once packages are being unpacked."""
    builder = subprocess.Popen(
        [sys.executable, "-c", BUILD, str(recipe), str(images_dir)],
        env={**os.environ, "PYTHONPATH": str(Path(atoll.__file__).parents[1])},
        stderr=subprocess.PIPE,
    )
    try:
        wait_until(
            lambda: builder.poll() is not None or list(images_dir.glob("img_*/rootfs/usr/bin/*")),
            what="a half-built root file system",
            timeout_s=120,
        )
    finally:
        builder.kill()
        _, complaint = builder.communicate(timeout=10)
    if any(reason.encode() in complaint for reason in NO_NETWORK):
        unmet("building images needs Debian's packages")


def test_a_build_that_was_killed_is_never_used_and_the_next_one_is_whole(recipe: Path, tmp_path: Path) -> None:
    images_dir = tmp_path / "images"
    start_and_kill(recipe, images_dir)
    half_made = list(images_dir.glob("img_*"))
    assert half_made
    assert list_images(images_dir) == []
    wait_until(lambda: not processes_below(images_dir), what="the end of the killed build")

    heard: list[Progress] = []
    image = build(recipe, images_dir, heard.append, clock=lambda: 7.0)

    assert list_images(images_dir) == [image]
    assert (image.name, image.python, image.created_at) == ("small", "/usr/bin/python3", 7)
    assert {path.name for path in image.folder.iterdir()} == {"rootfs", "image.json", "build.log"}
    check_root(image.rootfs)
    fractions = [progress.fraction for progress in heard]
    assert (fractions, fractions[-1]) == (sorted(fractions), 1.0)

    heard.clear()
    assert build(recipe, images_dir, heard.append) == image
    assert [progress.step for progress in heard] == ["Ready"]


def check_root(root: Path) -> None:
    assert (root / "usr/bin/python3").exists()
    assert (root / "etc/motd").read_text() == "hello\n"
    assert (root / "etc/motd").stat().st_uid == 0
    assert (root / "home/sandbox/note").stat().st_uid == 1000
    assert (root / "mnt/data").stat().st_uid == 1000
    assert "sandbox:x:1000:1000:" in (root / "etc/passwd").read_text()
    assert not list((root / "var/lib/apt/lists").glob("*Packages*"))
    for path in root.rglob("*"):
        status = path.lstat()
        assert stat.S_ISLNK(status.st_mode) or not status.st_mode & 0o6000, path
        assert max(status.st_uid, status.st_gid) < 65536, path
        assert stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode), path


def test_a_build_that_fails_says_why_and_leaves_nothing_that_counts(recipe: Path, tmp_path: Path) -> None:
    (recipe / "recipe.toml").write_text(RECIPE.replace("python3-minimal", "no-such-package-anywhere"))
    with pytest.raises(BuildError, match="no-such-package-anywhere") as failure:
        build(recipe, tmp_path / "images", lambda _progress: None)
    if any(reason in str(failure.value) for reason in NO_NETWORK):
        unmet("building images needs Debian's packages")
    assert list_images(tmp_path / "images") == []
    assert not list((tmp_path / "images").glob("img_*/rootfs"))
