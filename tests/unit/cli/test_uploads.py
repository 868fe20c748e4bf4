"""``atoll uploads``: files of the project."""

import json
from pathlib import Path

from tests.harness.server import AtollServer
from tests.unit.cli.conftest import Atoll
from tests.unit.cli.scripted_server import Answer, ScriptedServer


def test_once_up_and_into_containers(real_atoll: Atoll, plain_server: AtollServer, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n")
    (made,) = json.loads(real_atoll("uploads", "put", "a.csv", "--expires-after", "90", "--json").stdout)
    assert (made["purpose"], made["expires_at"] - made["created_at"]) == ("user_data", 90 * 60)
    (plain,) = real_atoll("uploads", "put", "a.csv").stdout.split()
    lines = real_atoll("uploads", "list").stdout.splitlines()
    assert [line.split()[:3] for line in lines[1:3]] == [[plain, "a.csv", "4"], [made["id"], "a.csv", "4"]]
    container = real_atoll("create", "uploads", "--file-id", plain).stdout.strip()
    assert real_atoll("sh", container, "cat a.csv; rm a.csv").stdout == "a,b\n"
    assert real_atoll("files", "put", container, "--file-id", plain).code == 0
    assert real_atoll("sh", container, "cat a.csv").stdout == "a,b\n"
    assert real_atoll("uploads", "get", plain, "--to", "here.csv").code == 0
    assert (tmp_path / "here.csv").read_text() == "a,b\n"
    assert real_atoll("uploads", "rm", plain, "file-none").code == 5
    assert real_atoll("uploads", "rm", plain, made["id"]).code == 0
    assert real_atoll("uploads", "get", plain).code == 5
    plain_server.api().delete(container)


def test_a_name_of_an_uploaded_file_leads_nowhere(atoll: Atoll, scripted: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    scripted.answers["GET /v1/files/file-1/content"] = Answer(b"x")
    for filename in ("../../evil", "..", ""):
        scripted.answers["GET /v1/files/file-1"] = Answer({"id": "file-1", "filename": filename, "bytes": 1})
        assert atoll("uploads", "get", "file-1", "--to", "here").code == 0
    assert {path.name for path in (tmp_path / "here").iterdir()} == {"evil", "file-1"}
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_what_cannot_go_up(atoll: Atoll, scripted: ScriptedServer) -> None:
    assert atoll("uploads", "put", "gone").code == 2
    assert atoll("uploads", "get", "file-1", "--to", "-", "--json").code == 2
    assert atoll("files", "put", "x").code == 2
    assert atoll("files", "put", "x", "--file-id", "file-1", "--into", "y").code == 2
    assert not scripted.asked
