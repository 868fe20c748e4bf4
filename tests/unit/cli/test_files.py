"""``atoll files`` and ``atoll cp``."""

from pathlib import Path
from typing import Any

import pytest

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
    assert outcome.code == 1
    assert "broke" in outcome.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "kept"


def test_a_file_that_is_not_there(atoll: Atoll, with_file: ScriptedServer) -> None:
    assert "There is no file /mnt/data/x in" in atoll("cp", f"{ID}:x", ".").stderr
    assert "There is no file /etc/passwd in" in atoll("cp", f"{ID}:../../etc/passwd", ".").stderr


def test_a_folder_that_is_not_there(atoll: Atoll, with_file: ScriptedServer) -> None:
    assert "gone/x cannot be written: No such file" in atoll("cp", f"{ID}:a b.txt", "gone/x").stderr


@pytest.mark.parametrize(("place", "name"), [("", "a.bin"), ("b.bin", "b.bin"), ("/mnt/data/b.bin", "b.bin")])
def test_a_file_goes_in(atoll: Atoll, scripted: ScriptedServer, tmp_path: Path, place: str, name: str) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(range(256)))
    scripted.answers[f"POST {FILES}"] = Answer(FILE)
    assert atoll("cp", "a.bin", f"{ID}:{place}").code == 0
    assert f'filename="{name}"'.encode() in scripted.asked[-1].body
    assert bytes(range(256)) in scripted.asked[-1].body


def test_files_go_into_the_data_folder_only(atoll: Atoll, scripted: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert "Files go into /mnt/data itself" in atoll("cp", "a", f"{ID}:/etc/a").stderr
    assert not scripted.asked


def test_a_file_here_that_cannot_be_read(atoll: Atoll, scripted: ScriptedServer) -> None:
    assert "gone cannot be read: No such file" in atoll("cp", "gone", f"{ID}:").stderr


@pytest.mark.parametrize("places", [("a", "b"), ("x:a", "y:b"), ("./x:a", "b")])
def test_exactly_one_end_is_in_a_container(atoll: Atoll, places: tuple[str, str]) -> None:
    outcome = atoll("cp", *places)
    assert outcome.code == 2
    assert "CONTAINER:FILE" in outcome.stderr
