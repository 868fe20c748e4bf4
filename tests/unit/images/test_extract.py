"""Tars of strangers: what they may not do, and what they may."""

import contextlib
import io
import stat
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atoll.images.errors import ArchiveError
from atoll.images.extract import Budget, Extraction
from atoll.images.rootfs import Rootfs
from tests.unit.images.conftest import entry, file, folder, hard_link, make_tar, symlink

pytestmark = pytest.mark.usefixtures("as_root")


def unpack(rootfs: Rootfs, *tars: bytes, layer: bool = False, entries: int = 1000, size: int = 1 << 20) -> None:
    extraction = Extraction(rootfs, Budget(entries, size))
    for tar in tars:
        extraction.unpack(io.BytesIO(tar), layer=layer)


def outside(root: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (root.parent / "outside").iterdir()}


def test_files_folders_and_links_come_out_as_they_went_in(rootfs: Rootfs, root: Path) -> None:
    tar = make_tar(
        folder("./", mode=0o700),
        folder("etc/", mode=0o750),
        file("etc/one", b"content", mode=0o640, owner=1000),
        symlink("etc/two", "one"),
        hard_link("etc/three", "./etc/one"),
        file("/absolute/file", b"x"),
    )
    unpack(rootfs, tar)
    one = (root / "etc/one").stat()
    assert ((root / "etc/one").read_bytes(), one.st_uid, one.st_gid, stat.S_IMODE(one.st_mode)) == (
        b"content",
        1000,
        1000,
        0o640,
    )
    assert stat.S_IMODE((root / "etc").stat().st_mode) == 0o750
    assert (root / "etc/two").readlink() == Path("one")
    assert (root / "etc/three").stat().st_ino == one.st_ino
    assert (root / "absolute/file").read_bytes() == b"x"


def test_times_are_kept_for_compiled_python_to_count(rootfs: Rootfs, root: Path) -> None:
    header, content = file("a.py", b"1")
    header.mtime = 1_700_000_000
    unpack(rootfs, make_tar((header, content)))
    assert (root / "a.py").stat().st_mtime == 1_700_000_000


@pytest.mark.parametrize("name", ["../outside/new", "a/../../outside/new", "..", "/../outside/new"])
def test_climbing_names_are_refused(rootfs: Rootfs, root: Path, name: str) -> None:
    with pytest.raises(ArchiveError):
        unpack(rootfs, make_tar(file(name, b"evil")))
    assert outside(root) == {"canary": "alive"}


@pytest.mark.parametrize("target", ["../outside", "../../outside", "{outside}", "/proc/self/cwd", "/"])
def test_a_link_to_the_outside_is_no_way_out(rootfs: Rootfs, root: Path, target: str) -> None:
    target = target.format(outside=root.parent / "outside")
    with contextlib.suppress(ArchiveError):
        unpack(rootfs, make_tar(symlink("way", target), file("way/new", b"evil"), file("way/canary", b"evil")))
    assert outside(root) == {"canary": "alive"}


def test_a_file_takes_the_place_of_a_link_instead_of_following_it(rootfs: Rootfs, root: Path) -> None:
    canary = root.parent / "outside/canary"
    unpack(rootfs, make_tar(symlink("name", str(canary)), file("name", b"evil")))
    assert (root / "name").read_bytes() == b"evil"
    assert not (root / "name").is_symlink()
    assert outside(root) == {"canary": "alive"}


def test_a_folder_takes_the_place_of_a_link_instead_of_changing_what_it_leads_to(rootfs: Rootfs, root: Path) -> None:
    target = root.parent / "outside"
    unpack(rootfs, make_tar(symlink("name", str(target)), folder("name", mode=0o777), file("name/new", b"x")))
    assert stat.S_IMODE(target.stat().st_mode) != 0o777
    assert (root / "name/new").exists()
    assert outside(root) == {"canary": "alive"}


@pytest.mark.parametrize("target", ["../outside/canary", "/outside/canary", "way/canary"])
def test_a_hard_link_reaches_nothing_outside(rootfs: Rootfs, root: Path, target: str) -> None:
    with pytest.raises(ArchiveError):
        unpack(rootfs, make_tar(symlink("way", str(root.parent / "outside")), hard_link("mine", target)))
    assert (root.parent / "outside/canary").stat().st_nlink == 1


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_and_fifos_are_left_behind(rootfs: Rootfs, root: Path, kind: bytes) -> None:
    unpack(rootfs, make_tar(entry("dev/thing", kind), file("kept")))
    assert {path.name for path in root.rglob("*")} == {"kept"}


def test_set_id_bits_do_not_arrive(rootfs: Rootfs, root: Path) -> None:
    unpack(rootfs, make_tar(file("su", b"", mode=0o6755), folder("d", mode=0o3777)))
    assert stat.S_IMODE((root / "su").stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o1777


def test_owners_that_no_sandbox_has_are_refused(rootfs: Rootfs) -> None:
    unpack(rootfs, make_tar(file("highest", owner=65535)))
    with pytest.raises(ArchiveError, match="65536"):
        unpack(rootfs, make_tar(file("one-more", owner=65536)))


def test_the_number_of_entries_is_bounded(rootfs: Rootfs) -> None:
    unpack(rootfs, make_tar(*(file(f"f{n}") for n in range(10))), entries=10)
    with pytest.raises(ArchiveError, match="more files"):
        unpack(rootfs, make_tar(*(file(f"f{n}") for n in range(11))), entries=10)


def test_the_size_is_bounded_over_all_tars_together(rootfs: Rootfs) -> None:
    half = make_tar(file("a", b"x" * 1024))
    unpack(rootfs, half, half, size=2048)
    with pytest.raises(ArchiveError, match="larger"):
        unpack(rootfs, half, half, size=2047)


def test_a_huge_sparse_file_is_counted_by_its_full_size_before_it_is_written(rootfs: Rootfs, root: Path) -> None:
    header, _ = file("sparse")
    header.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 40)}
    header.size = 512
    with pytest.raises(ArchiveError, match="larger"):
        unpack(rootfs, make_tar((header, b"0\n".ljust(512, b"\0"))))
    assert not (root / "sparse").exists()


@pytest.mark.parametrize("time", ["nan", "inf", "-5", "1e300"])
def test_absurd_times_do_no_harm(rootfs: Rootfs, root: Path, time: str) -> None:
    header, content = file("f")
    header.pax_headers = {"mtime": time}
    unpack(rootfs, make_tar((header, content)))
    assert (root / "f").stat().st_mtime == 0


@pytest.mark.parametrize("cut", [1, 511, 600, 1100])
def test_a_cut_tar_is_an_error(rootfs: Rootfs, cut: int) -> None:
    with pytest.raises(ArchiveError):
        unpack(rootfs, make_tar(file("f", b"x" * 700))[:cut])


def test_names_that_no_file_system_takes_are_an_error(rootfs: Rootfs) -> None:
    unpack(rootfs, make_tar(file("n" * 255), file("new\nline")))
    with pytest.raises(ArchiveError):
        unpack(rootfs, make_tar(file("n" * 256)))


def test_a_later_entry_counts(rootfs: Rootfs, root: Path) -> None:
    unpack(rootfs, make_tar(folder("a"), file("a/b", b"1"), file("a", b"2")))
    assert (root / "a").read_bytes() == b"2"


def test_whiteouts_take_away_what_lower_layers_put_there(rootfs: Rootfs, root: Path) -> None:
    lower = make_tar(file("a/one"), file("a/two"), file("b/three"), file("b/four"))
    upper = make_tar(file("a/.wh.one"), file("b/five"), file("b/.wh..wh..opq"), file("b/six"))
    unpack(rootfs, lower, upper, layer=True)
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()) == [
        "a/two",
        "b/five",
        "b/six",
    ]


@pytest.mark.parametrize("name", [".wh...", ".wh..", ".wh.", "a/.wh..."])
def test_a_whiteout_of_no_name_or_of_the_folder_above_is_refused(rootfs: Rootfs, root: Path, name: str) -> None:
    with pytest.raises(ArchiveError):
        unpack(rootfs, make_tar(file("a/b"), file(name)), layer=True)
    assert outside(root) == {"canary": "alive"}


def test_a_whiteout_through_a_link_stays_inside(rootfs: Rootfs, root: Path) -> None:
    for whiteout in (".wh.canary", ".wh..wh..opq"):
        with contextlib.suppress(ArchiveError):
            link = symlink("way", str(root.parent / "outside"))
            unpack(rootfs, make_tar(link, file(f"way/{whiteout}")), layer=True)
    assert outside(root) == {"canary": "alive"}


def test_whiteouts_mean_nothing_in_a_plain_root_file_system(rootfs: Rootfs, root: Path) -> None:
    unpack(rootfs, make_tar(file("a"), file(".wh.a")))
    assert {path.name for path in root.iterdir()} == {"a", ".wh.a"}


NAMES = st.lists(
    st.sampled_from(["a", "b", "way", "..", ".", "", "canary", ".wh.a", ".wh..wh..opq", ".wh...", "outside"]),
    min_size=1,
    max_size=4,
).map("/".join)
TARGETS = NAMES | NAMES.map(lambda name: "/" + name) | st.just("../outside") | st.just("/proc/self/root/tmp")


@st.composite
def hostile_members(draw: st.DrawFn) -> tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]:
    name = draw(NAMES)
    kind = draw(
        st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, b"?"])
    )
    if kind == tarfile.REGTYPE:
        return file(name, b"evil", mode=0o7777)
    return entry(name, kind, target=draw(TARGETS), mode=0o7777)


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(members=st.lists(hostile_members(), max_size=8), layer=st.booleans())
def test_no_tar_touches_the_outside(
    members: list[tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]], layer: bool
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "rootfs")
        root.mkdir()
        Path(scratch, "outside").mkdir()
        Path(scratch, "outside/canary").write_text("alive")
        before = sorted(Path("/").iterdir())
        with Rootfs(root) as rootfs, contextlib.suppress(ArchiveError):
            unpack(rootfs, make_tar(*members), layer=layer)
        assert outside(root) == {"canary": "alive"}
        assert sorted(path.name for path in Path(scratch).iterdir()) == ["outside", "rootfs"]
        assert sorted(Path("/").iterdir()) == before
        found = [path.lstat() for path in root.rglob("*")]
        assert not [one for one in found if one.st_mode & 0o6000 or stat.S_ISCHR(one.st_mode)]


VALID = make_tar(folder("d"), file("d/f", b"x" * 600), symlink("d/s", "f"), hard_link("d/h", "d/f"), file("n" * 200))


@settings(max_examples=200, deadline=None, database=None)
@given(position=st.integers(0, len(VALID) - 1), byte=st.integers(0, 255), length=st.integers(0, len(VALID)))
def test_a_damaged_tar_is_an_error_or_still_a_tar(position: int, byte: int, length: int) -> None:
    damaged = bytearray(VALID)
    damaged[position] = byte
    with tempfile.TemporaryDirectory() as scratch, Rootfs(Path(scratch)) as rootfs, contextlib.suppress(ArchiveError):
        unpack(rootfs, bytes(damaged[:length]))
