"""What a newcomer does, as the README has it."""

import re
from pathlib import Path

import pytest
from openai import OpenAI

from tests.harness.server import AtollServer


def test_readme_example(server: AtollServer, tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text("month,sold\nJan,3\nFeb,5\n")
    with OpenAI(base_url=server.base_url, api_key=server.api_key) as client:
        container = client.containers.create(name="demo", memory_limit="1g")
        with (tmp_path / "sales.csv").open("rb") as sales:
            client.containers.files.create(container.id, file=sales)
        listed = {c.id: (c.name, c.status) for c in client.containers.list(limit=10, order="asc")}
        assert listed[container.id] == ("demo", "running")
        call = client.post(
            f"/containers/{container.id}/code_interpreter_calls",
            body={"code": "import pandas as pd; pd.read_csv('sales.csv').describe()"},
            cast_to=object,
        )
        assert isinstance(call, dict)
        assert re.search(r"mean\s+4\.0", call["outputs"][0]["logs"])
        client.containers.delete(container.id)


def test_command_line(oci_server: AtollServer, tmp_path: Path) -> None:
    with oci_server.api() as api:
        container_id = api.create("by hand")["id"]
        assert container_id in oci_server.atoll("ls")
        assert oci_server.atoll("run", container_id, "print(6 * 7)").strip() == "42"
        assert oci_server.atoll("sh", container_id, "echo $((1 + 1)); pwd").split() == ["2", "/mnt/data"]
        (tmp_path / "in.txt").write_text("there and back")
        oci_server.atoll("cp", str(tmp_path / "in.txt"), f"{container_id}:")
        oci_server.atoll("cp", f"{container_id}:in.txt", str(tmp_path / "out.txt"))
        assert (tmp_path / "out.txt").read_text() == "there and back"
        api.delete(container_id)


def test_settings_are_told_with_their_origin(oci_server: AtollServer) -> None:
    told = oci_server.atoll("config")
    assert "ATOLL_PORT" in told
    assert str(oci_server.port) in told
    assert oci_server.api_key not in told


@pytest.mark.parametrize("path", ["/health", "/openapi.json"])
def test_open_pages(path: str, oci_server: AtollServer) -> None:
    with oci_server.api() as api:
        response = api.send("GET", f"http://127.0.0.1:{oci_server.port}{path}", headers={"Authorization": ""})
    assert response.status_code == 200
    assert response.headers["x-request-id"]
