"""Archives: what goes in comes out, and what is hostile changes nothing."""

import os
import socket
import stat
import tarfile
from pathlib import Path

import pytest

from atoll.guest.archive_names import is_inside
from atoll.guest.protocol import FrameType, encode
from tests.harness.poll import wait_until
from tests.harness.tars import Form, contents_of, entry, folder, hard_link, hostile, members_of, symlink, tar_of
from tests.unit.guest.agent_process import Agent
from tests.unit.guest.conftest import StartAgent

MEBIBYTE = 1 << 20


def snapshot(folder: Path) -> dict[str, object]:
    """Give everything below a folder, hidden or not."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else None
        found[str(path.relative_to(folder))] = (oct(status.st_mode), status.st_ino, content)
    return found


def test_there_and_back(agent: Agent) -> None:
    big = os.urandom(3 * MEBIBYTE)
    data = tar_of(
        folder("./"),
        entry("a.txt", b"hello", mode=0o640),
        folder("sub", mode=0o750, mtime=1_500_000_000),
        entry("sub/big", big),
        entry("sub/deeper/ä", b"made on the way", mode=0o4755),
        folder("empty"),
        symlink("sub/link", "../a.txt"),
        hard_link("twice", "a.txt"),
    )
    answer = agent.put_archive(data)
    assert answer.result == {"files": 3, "folders": 2, "links": 2, "bytes": 5 + len(big) + 15}
    root = agent.data_dir
    assert (root / "sub/big").read_bytes() == big
    assert oct((root / "a.txt").stat().st_mode) == oct(stat.S_IFREG | 0o640)
    assert oct((root / "sub/deeper/ä").stat().st_mode) == oct(stat.S_IFREG | 0o755), "no set-uid bit"
    assert oct((root / "sub").stat().st_mode) == oct(stat.S_IFDIR | 0o750)
    assert (root / "sub").stat().st_mtime == 1_500_000_000
    assert (root / "a.txt").stat().st_mtime == 1_600_000_000
    assert (root / "sub/link").readlink() == Path("../a.txt")
    assert (root / "twice").stat().st_ino == (root / "a.txt").stat().st_ino
    assert sorted(agent.files()) == ["a.txt", "sub/big", "sub/deeper/ä", "twice"]

    members = members_of(agent.get_archive().data)
    assert set(members) == {"a.txt", "twice", "sub", "sub/big", "sub/deeper", "sub/deeper/ä", "sub/link", "empty"}
    assert members["sub/big"][1] == big
    assert members["sub"][0].mode == 0o750
    assert members["a.txt"][0].mtime == 1_600_000_000
    assert members["sub/link"][0].linkname == "../a.txt"
    below = contents_of(agent.get_archive("/mnt/data/sub").data)
    assert below == {"big": big, "deeper/ä": b"made on the way"}
    assert contents_of(agent.get_archive("/mnt/data/sub/deeper/ä").data) == {"ä": b"made on the way"}
    assert agent.put_archive(agent.get_archive().data, "/mnt/data/copy/of").result["files"] == 4
    assert (root / "copy/of/sub/big").read_bytes() == big


@pytest.mark.parametrize(("data", "says"), [pytest.param(data, says, id=name) for name, data, says in hostile()])
def test_hostile_archives_change_nothing(data: bytes, says: str, agent: Agent) -> None:
    (agent.data_dir / "before.txt").write_text("before")
    (agent.data_dir / "good.txt").write_text("older")
    before = snapshot(agent.data_dir)
    answer = agent.put_archive(data)
    assert answer.failure["code"] == "bad_archive"
    assert says in answer.failure["message"], answer.failure
    assert snapshot(agent.data_dir) == before
    assert agent.is_well()


def test_the_end_may_be_missing_at_a_boundary_or_be_long(shared_agent: Agent) -> None:
    padded = tar_of(entry("padded", b"x")) + bytes(20 * 512) + b"what comes behind counts for nothing"
    assert shared_agent.put_archive(padded).result["files"] == 1
    answer = shared_agent.put_archive(tar_of(entry("whole", b"x" * 512), end=False))
    assert answer.failure["code"] == "bad_archive"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar(form: Form, agent: Agent) -> None:
    long = "/".join(["d" * 90] * 2) + "/file"
    assert agent.put_archive(tar_of(entry("a"), entry(long, b"x", mtime=1), form=form)).result["files"] == 2
    assert (agent.data_dir / long).read_bytes() == b"x"


def test_odd_times_and_sizes(agent: Agent) -> None:
    odd = [entry(f"t{n}", pax_headers={"mtime": value}) for n, value in enumerate(["nan", "inf", "-5", "1e300", "x"])]
    assert agent.put_archive(tar_of(*odd)).result["files"] == 5
    assert {(agent.data_dir / f"t{number}").stat().st_mtime for number in range(5)} <= {0, 1_600_000_000}


def test_of_one_name_twice_the_last_counts(agent: Agent) -> None:
    data = tar_of(entry("a", b"1"), hard_link("b", "a"), entry("a", b"2"), symlink("c", "a"), entry("c", b"3"))
    assert agent.put_archive(data).result["files"] == 3
    assert [(agent.data_dir / name).read_text() for name in "abc"] == ["2", "1", "3"]
    assert not (agent.data_dir / "c").is_symlink()


def test_what_is_there_is_joined_and_replaced(agent: Agent) -> None:
    root = agent.data_dir
    (root / "d/e").mkdir(parents=True)
    (root / "d/stays").write_text("stays")
    (root / "d/e/old").write_text("old")
    (root / "target").write_text("target")
    (root / "link").symlink_to("target")
    answer = agent.put_archive(tar_of(entry("d/e/old", b"new"), entry("d/more", b"more"), entry("link", b"a file now")))
    assert answer.result["files"] == 3
    assert [(root / name).read_text() for name in ("d/stays", "d/e/old", "d/more", "link", "target")] == [
        "stays",
        "new",
        "more",
        "a file now",
        "target",
    ]


@pytest.mark.parametrize("make", ["mkdir -p x/y", "ln -s . x", "touch x", "mkfifo x"])
def test_a_folder_and_something_else_do_not_join(make: str, agent: Agent) -> None:
    agent.shell(make)
    other = entry("x", b"file") if "mkdir" in make else entry("x/y/z", b"below")
    before = snapshot(agent.data_dir) if "fifo" not in make else {}
    answer = agent.put_archive(tar_of(entry("first", b"1"), other))
    assert answer.failure["code"] == "not_regular"
    assert not (agent.data_dir / "first").exists()
    assert not before or snapshot(agent.data_dir) == before


@pytest.mark.parametrize(("path", "code"), [("/mnt/data/file", "bad_request"), ("/mnt/data/link/x", "bad_request")])
def test_only_into_folders(path: str, code: str, agent: Agent) -> None:
    agent.shell("touch file; ln -s /tmp link")
    answer = agent.put_archive(tar_of(entry("a")), path)
    assert (answer.failure["code"], answer.failure["field"]) == (code, "path")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/mnt/data/none", "not_found"),
        ("/mnt/data/fifo", "not_regular"),
        ("/mnt/data/link", "not_regular"),
        ("/mnt/data/link/passwd", "not_regular"),
        ("/mnt/data/../x", "bad_request"),
        ("/etc", "bad_request"),
        ("/mnt/data/.atoll-upload-x", "bad_request"),
        (None, "bad_request"),
    ],
)
def test_what_is_no_folder_or_file_is_not_packed(path: str, code: str, agent: Agent) -> None:
    agent.shell("mkfifo fifo; ln -s /etc link")
    assert agent.get_archive(path).failure["code"] == code


def test_hanging_up_in_the_middle_leaves_nothing(agent: Agent) -> None:
    (agent.data_dir / "a").write_text("before")
    call = agent.call(op="archive_put", path="/mnt/data", entries_max=10)
    call.send(encode(FrameType.DATA, tar_of(entry("a", b"new"), entry("b", bytes(MEBIBYTE)))[:500_000]))
    wait_until(lambda: len(list(agent.data_dir.iterdir())) == 2, what="it is being unpacked")
    call.close()
    wait_until(lambda: [path.name for path in agent.data_dir.iterdir()] == ["a"], what="nothing is left of it")
    assert (agent.data_dir / "a").read_text() == "before"


def test_what_a_killed_one_left_is_swept_and_a_running_one_is_not(agent: Agent) -> None:
    (agent.data_dir / ".atoll-upload-dead/sub").mkdir(parents=True)
    running = agent.call(op="archive_put", path="/mnt/data", entries_max=10)
    running.send(encode(FrameType.DATA, tar_of(entry("slow", bytes(1000)))[:1000]))
    wait_until(lambda: len(list(agent.data_dir.glob(".atoll-upload-*/slow"))) == 1, what="it is being unpacked")
    assert agent.put_archive(tar_of(entry("quick"))).result["files"] == 1
    running.send(encode(FrameType.DATA, tar_of(entry("slow", bytes(1000)))[1000:]), encode(FrameType.END))
    assert running.answer().result["files"] == 1
    assert sorted(path.name for path in agent.data_dir.iterdir()) == ["quick", "slow"]


def test_odd_things_are_left_out_and_nothing_hangs(agent: Agent) -> None:
    agent.shell(
        "mkfifo fifo; echo x > file; ln -s /etc/passwd out; ln -s file in; ln -s ../.. up; mkdir .atoll-upload-x"
    )
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(agent.data_dir / "socket"))
    Path(os.fsdecode(os.fsencode(agent.data_dir) + b"/\xff")).write_text("not UTF-8")
    members = members_of(agent.get_archive().data)
    assert set(members) == {"file", "in"}


def test_a_file_that_grows_has_the_size_it_had_and_one_that_shrinks_is_told(agent: Agent) -> None:
    (agent.data_dir / "big").write_bytes(bytes(40 * MEBIBYTE))
    call = agent.call(op="archive_get", path="/mnt/data", entries_max=10)
    frame = call.frame()  # more than the socket holds is still to be read
    assert frame is not None
    with (agent.data_dir / "big").open("ab") as file:
        file.write(b"more")
    grown = call.answer()
    assert [len(content) for content in contents_of(frame[1] + grown.data).values()] == [40 * MEBIBYTE]
    call = agent.call(op="archive_get", path="/mnt/data", entries_max=10)
    assert call.frame() is not None
    os.truncate(agent.data_dir / "big", 10)
    assert "shorter" in call.answer().failure["message"]


def test_too_many_are_told(agent: Agent) -> None:
    agent.shell("for i in $(seq 20); do touch f$i; done; mkfifo $(seq -f p%g 100)")
    assert agent.get_archive(entries_max=19).failure["field"] == "path"
    assert agent.get_archive(entries_max=20).failure["field"] == "path", "what is left out is looked at, too"
    assert len(members_of(agent.get_archive(entries_max=30).data)) == 20


def test_an_empty_folder(agent: Agent) -> None:
    assert members_of(agent.get_archive().data) == {}
    assert agent.put_archive(agent.get_archive().data).result == {"files": 0, "folders": 0, "links": 0, "bytes": 0}


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming somebody else needs root")
def test_with_peoples_rights_only(start_agent: StartAgent) -> None:
    agent = start_agent("--uid", "1000", uid=1000)
    assert (
        agent.put_archive(tar_of(entry("own", b"x", uid=0, gid=0), folder("closed", mode=0o000))).result["files"] == 1
    )
    status = (agent.data_dir / "own").stat()
    assert (status.st_uid, status.st_gid) == (1000, 1000)
    (agent.data_dir / "roots").mkdir(mode=0o755)
    (agent.data_dir / "secret").write_text("secret")
    (agent.data_dir / "secret").chmod(0o600)
    answer = agent.put_archive(tar_of(entry("first"), entry("roots/x", b"x")))
    assert answer.failure["code"] == "permission"
    assert not (agent.data_dir / "first").exists()
    assert set(members_of(agent.get_archive().data)) == {"own", "closed", "roots"}


@pytest.mark.parametrize(
    ("link", "target", "inside"),
    [
        ("a", "b", True),
        ("a", "b/../../c", False),
        ("a", "..", False),
        ("d/a", "..", True),
        ("d/a", "../b", True),
        ("d/a", "./../b", True),
        ("d/a", "../../b", False),
        ("d/a", "../d/../b", False),
        ("a", "/b", False),
        ("a", "", False),
        ("a", "b//c/.", True),
        ("a", "x" * 5000, False),
    ],
)
def test_where_links_may_lead(link: str, target: str, inside: bool) -> None:
    assert is_inside(tuple(link.split("/")), target) is inside
