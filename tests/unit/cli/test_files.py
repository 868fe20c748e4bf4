"""``atoll files`` and ``atoll cp``."""

import json
import os
import tarfile
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.harness.tars import Entry, contents_of, entry, folder, hard_link, members_of, symlink, tar_of
from tests.unit.cli.conftest import Atoll
from tests.unit.cli.scripted_server import Answer, ScriptedServer
from tests.unit.cli.test_connection import page

ID = "cntr_" + "0" * 48
FILES = f"/v1/containers/{ID}/files"
FILE: dict[str, Any] = {"id": "cfile_1", "path": "/mnt/data/a b.txt", "bytes": 5, "source": "user", "created_at": 0}


@pytest.fixture
def with_file(scripted: ScriptedServer) -> ScriptedServer:
    scripted.answers[f"GET {FILES}"] = page(FILE)
    scripted.answers[f"GET {FILES}/cfile_1/content"] = Answer(b"hello")
    return scripted


def test_files_are_listed(atoll: Atoll, with_file: ScriptedServer) -> None:
    outcome = atoll("files", ID)
    assert outcome.code == 0
    assert "cfile_1  /mnt/data/a b.txt  5 B   user" in outcome.stdout


@pytest.mark.parametrize("source", ["a b.txt", "/mnt/data/a b.txt", "./a b.txt", "cfile_1"])
def test_a_file_comes_out(atoll: Atoll, with_file: ScriptedServer, tmp_path: Path, source: str) -> None:
    assert atoll("cp", f"{ID}:{source}", ".").code == 0
    assert (tmp_path / "a b.txt").read_bytes() == b"hello"
    assert atoll("cp", f"{ID}:{source}", "here:not").code == 2
    assert atoll("cp", f"{ID}:{source}", "./here:it is").code == 0
    assert (tmp_path / "here:it is").read_bytes() == b"hello"
    assert atoll("cp", f"{ID}:{source}", "-").stdout == "hello"


def test_a_download_that_breaks_leaves_what_was_there(atoll: Atoll, with_file: ScriptedServer, tmp_path: Path) -> None:
    with_file.answers[f"GET {FILES}/cfile_1/content"] = Answer(b"hel", headers={"content-length": "5"})
    (tmp_path / "kept").write_text("kept")
    outcome = atoll("cp", f"{ID}:a b.txt", "kept")
    assert outcome.code == 3
    assert "broke" in outcome.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "kept"


def test_a_file_that_is_not_there(atoll: Atoll, with_file: ScriptedServer) -> None:
    assert atoll("cp", f"{ID}:x", ".").code == 5
    assert "There is no file /mnt/data/x in" in atoll("cp", f"{ID}:x", ".").stderr
    assert "There is no file /etc/passwd in" in atoll("cp", f"{ID}:../../etc/passwd", ".").stderr


def test_a_folder_that_is_not_there(atoll: Atoll, with_file: ScriptedServer) -> None:
    assert "gone/x cannot be written: No such file" in atoll("cp", f"{ID}:a b.txt", "gone/x").stderr


@pytest.mark.parametrize(
    ("place", "name"), [("", "a.bin"), ("b.bin", "b.bin"), ("/mnt/data/b.bin", "b.bin"), ("x/../", "a.bin")]
)
def test_a_file_goes_in(atoll: Atoll, scripted: ScriptedServer, tmp_path: Path, place: str, name: str) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(range(256)))
    scripted.answers[f"POST {FILES}"] = Answer(FILE)
    assert atoll("cp", "a.bin", f"{ID}:{place}").code == 0
    assert f'filename="{name}"'.encode() in scripted.asked[-1].body
    assert bytes(range(256)) in scripted.asked[-1].body


def test_files_go_into_the_data_folder_only(atoll: Atoll, scripted: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    for place in ("/etc/a", "../a", "/mnt/data/../a", "/mnt/database"):
        outcome = atoll("cp", "a", f"{ID}:{place}")
        assert outcome.code == 2
        assert "Files are kept in /mnt/data and below" in outcome.stderr
    assert not scripted.asked


def test_a_file_here_that_cannot_be_read(atoll: Atoll, scripted: ScriptedServer) -> None:
    assert "gone cannot be read: No such file" in atoll("cp", "gone", f"{ID}:").stderr


def test_a_file_here_whose_name_is_no_text(atoll: Atoll, scripted: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "caf\udce9.txt").touch()
    scripted.answers[f"POST {FILES}"] = Answer(FILE)
    outcome = atoll("cp", "caf\udce9.txt", f"{ID}:")
    assert (outcome.code, f"{ID}:NAME" in outcome.stderr, scripted.asked) == (2, True, [])
    assert atoll("cp", "caf\udce9.txt", f"{ID}:cafe.txt").code == 0


def test_a_file_goes_below_as_a_tar(atoll: Atoll, scripted: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello")
    scripted.answers[f"PUT /v1/containers/{ID}/archive"] = Answer({"files": 1})
    for place, into, name in (("x/y/", "x/y", "a"), ("x/b", "x", "b")):
        outcome = atoll("cp", "a", f"{ID}:{place}", "--json")
        assert json.loads(outcome.stdout) == {"files": 1}
        asked = scripted.asked[-1]
        assert parse_qs(urlsplit(asked.path).query) == {"path": [f"/mnt/data/{into}"]}
        assert contents_of(asked.body) == {name: b"hello"}


def test_a_folder_goes_in(atoll: Atoll, scripted: ScriptedServer, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "program").write_text("#!")
    (tree / "sub" / "program").chmod(0o755)
    (tree / "link").symlink_to("sub/program")
    os.mkfifo(tree / "pipe")
    scripted.answers[f"PUT /v1/containers/{ID}/archive"] = Answer({"files": 1})
    for source, place, target in (
        ("tree", "", "/tree"),
        ("tree/", "x/", "/x/tree"),
        ("tree", "x", "/x"),
        ("tree/.", "", ""),
    ):
        outcome = (
            atoll("files", "put", ID, source, "--into", "x") if place == "x/" else atoll("cp", source, f"{ID}:{place}")
        )
        assert (outcome.code, outcome.stderr) == (0, f"[{Path(source)}/pipe is left out: no file, folder or link]\n")
        assert parse_qs(urlsplit(scripted.asked[-1].path).query) == {"path": [f"/mnt/data{target}"]}
    members = {info.name: info for info, _ in members_of(scripted.asked[-1].body).values()}
    assert set(members) == {"sub", "sub/program", "link"}
    assert members["sub/program"].mode == 0o755
    assert (members["link"].issym(), members["link"].linkname) == (True, "sub/program")
    assert {(info.uid, info.uname) for info in members.values()} == {(0, "")}


def test_a_folder_comes_out(atoll: Atoll, with_file: ScriptedServer, tmp_path: Path) -> None:
    with_file.answers[f"GET {FILES}"] = page({**FILE, "path": "/mnt/data/out/new/a"})
    tar = tar_of(folder("new"), entry("new/a", b"hello", mode=0o755), entry("b", b"you"), symlink("new/to", "../b"))
    with_file.answers[f"GET /v1/containers/{ID}/archive"] = Answer(tar)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kept").touch()
    assert atoll("cp", f"{ID}:out", ".").code == 0
    assert parse_qs(urlsplit(with_file.asked[-1].path).query) == {"path": ["/mnt/data/out"]}
    assert atoll("cp", f"{ID}:out", "named").code == 0
    assert atoll("cp", f"{ID}:out/", "mine").code == 0
    assert atoll("cp", f"{ID}:", "mine").code == 0
    assert atoll("files", "get", ID, "out").code == 0
    for place in ("out", "named", "mine/out", "mine"):
        assert (tmp_path / place / "new/a").read_bytes() == b"hello"
        assert (tmp_path / place / "new/a").stat().st_mode & 0o100
        assert not (tmp_path / place / "b").stat().st_mode & 0o100
        assert (tmp_path / place / "new/to").read_bytes() == b"you"
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {"kept", "new", "b", "out"}
    assert not list(tmp_path.glob(".*"))
    assert atoll("cp", f"{ID}:out/", "-").stdout.encode() == tar


@pytest.mark.parametrize(
    "entries",
    [
        [entry("../evil", b"x")],
        [entry("/evil", b"x")],
        [entry("a/../../evil", b"x")],
        [symlink("a", "/etc"), entry("fine")],
        [symlink("a", "..")],
        [symlink("d/a", "../../x")],
        [symlink("a", "b/../.."), folder("b")],
        [symlink("a", "b"), symlink("a/c", "x")],
        [folder("b"), symlink("a", "b"), entry("a/evil", b"x")],
        [hard_link("a", "/etc/passwd")],
        [entry("pipe", type=tarfile.FIFOTYPE)],
        [entry("null", type=tarfile.CHRTYPE)],
        [entry("a", b"x"), entry("a/b", b"x")],
        [entry("x", pax_headers={"comment": "x" * 2_000_000})],
        [entry("x", b"a\0", type=tarfile.GNUTYPE_LONGNAME)] * 600,
        [folder("d/" * 900)],
    ],
    ids=range(16),
)
def test_a_hostile_tar_leaves_nothing(
    atoll: Atoll, with_file: ScriptedServer, tmp_path: Path, entries: list[Entry]
) -> None:
    with_file.answers[f"GET /v1/containers/{ID}/archive"] = Answer(tar_of(*entries))
    (tmp_path / "here").mkdir()
    outcome = atoll("cp", f"{ID}:out/", "here/out")
    assert outcome.code == 1, outcome
    assert outcome.stderr.startswith("atoll: ")
    assert list((tmp_path / "here").iterdir()) == []
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("cut", [100, 600, 1100])
def test_a_tar_that_is_cut_off(atoll: Atoll, with_file: ScriptedServer, tmp_path: Path, cut: int) -> None:
    tar = tar_of(entry("a", b"x" * 700))[:cut]
    with_file.answers[f"GET /v1/containers/{ID}/archive"] = Answer(tar)
    assert atoll("cp", f"{ID}:out/", "out").code == 1
    with_file.answers[f"GET /v1/containers/{ID}/archive"] = Answer(tar, headers={"content-length": "9999"})
    assert atoll("cp", f"{ID}:out/", "out").code in (1, 3)
    assert list(tmp_path.iterdir()) == []


def test_a_name_in_a_message_is_no_word_to_the_terminal(
    atoll: Atoll, with_file: ScriptedServer, tmp_path: Path
) -> None:
    (tmp_path / "out" / "\x1b]52;c;eA==\x07").mkdir(parents=True)
    with_file.answers[f"GET /v1/containers/{ID}/archive"] = Answer(tar_of(entry("\x1b]52;c;eA==\x07", b"x")))
    outcome = atoll("cp", f"{ID}:out/", ".")
    assert outcome.code == 1
    assert "\u241b]52;c;eA==\u2407 cannot be written" in outcome.stderr
    assert "\x1b" not in outcome.stderr


def test_a_folder_does_not_go_through_links_here(atoll: Atoll, with_file: ScriptedServer, tmp_path: Path) -> None:
    with_file.answers[f"GET /v1/containers/{ID}/archive"] = Answer(tar_of(entry("new/a", b"x")))
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "new").symlink_to("../elsewhere")
    outcome = atoll("cp", f"{ID}:out/", ".")
    assert outcome.code == 1
    assert "is no folder here" in outcome.stderr
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_files_are_removed_all_or_none(atoll: Atoll, with_file: ScriptedServer) -> None:
    with_file.answers[f"DELETE {FILES}/cfile_1"] = Answer({"id": "cfile_1", "deleted": True})
    assert atoll("files", "rm", ID, "a b.txt", "x").code == 5
    assert {asked.method for asked in with_file.asked} == {"GET"}
    outcome = atoll("files", "rm", ID, "a b.txt", "--json")
    assert json.loads(outcome.stdout) == [{"id": "cfile_1", "deleted": True}]


@pytest.mark.parametrize("places", [("a", "b"), ("x:a", "y:b"), ("./x:a", "b")])
def test_exactly_one_end_is_in_a_container(atoll: Atoll, places: tuple[str, str]) -> None:
    outcome = atoll("cp", *places)
    assert outcome.code == 2
    assert "CONTAINER:FILE" in outcome.stderr
