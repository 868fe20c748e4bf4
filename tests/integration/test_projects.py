"""Keys open projects, and a project sees its own things only."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.harness.api import Api
from tests.harness.poll import wait_until
from tests.harness.server import AtollServer

SECRET = re.compile(r"sk-atoll-[A-Za-z0-9_-]{43}")
KEY_ID = re.compile(r"key_[0-9a-f]{24}")


def make_key(server: AtollServer, project: str) -> str:
    """Make a key on the command line and give its secret."""
    found = SECRET.search(server.atoll("keys", "create", "--name", f"for {project}", "--project", project))
    assert found
    return found[0]


@pytest.fixture
def stranger(oci_server: AtollServer) -> Iterator[Api]:
    """Give a client with a key of another project."""
    with Api(oci_server.base_url, make_key(oci_server, "strangers")) as api:
        yield api


def test_projects_do_not_see_each_other(oci_api: Api, stranger: Api) -> None:
    mine = oci_api.create("mine")["id"]
    uploaded = oci_api.upload(mine, "secret.txt", b"secret")
    stored = oci_api.call("POST", "/files", files={"file": ("s", b"s")}, data={"purpose": "user_data"})
    theirs = stranger.create("theirs")["id"]
    assert [item["id"] for item in stranger.containers()] == [theirs]
    assert theirs not in [item["id"] for item in oci_api.containers()]
    assert stranger.call("GET", "/files")["data"] == []
    uses: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", f"/containers/{mine}", {}),
        ("DELETE", f"/containers/{mine}", {}),
        ("GET", f"/containers/{mine}/files", {}),
        ("GET", f"/containers/{mine}/events", {}),
        ("GET", f"/containers/{mine}/stats", {}),
        ("POST", f"/containers/{mine}/files", {"files": {"file": ("x", b"x")}}),
        ("GET", f"/containers/{mine}/files/{uploaded['id']}", {}),
        ("GET", f"/containers/{mine}/files/{uploaded['id']}/content", {}),
        ("DELETE", f"/containers/{mine}/files/{uploaded['id']}", {}),
        ("GET", f"/containers/{theirs}/files/{uploaded['id']}/content", {}),
        ("POST", f"/containers/{mine}/code_interpreter_calls", {"json": {"code": "1"}}),
        ("POST", f"/containers/{mine}/shell_calls", {"json": {"commands": ["true"]}}),
        ("POST", f"/containers/{mine}/interrupt", {}),
        ("POST", f"/containers/{mine}/restart", {}),
        ("GET", f"/files/{stored['id']}", {}),
        ("GET", f"/files/{stored['id']}/content", {}),
        ("DELETE", f"/files/{stored['id']}", {}),
        ("POST", f"/containers/{theirs}/files", {"json": {"file_id": stored["id"]}}),
        ("POST", "/containers", {"json": {"name": "thief", "file_ids": [stored["id"]]}}),
    ]

    def never_was(text: str) -> str:
        """Put ids that nothing has in the place of mine."""
        for known in (mine, uploaded["id"], stored["id"]):
            text = text.replace(known, known[:6] + "0" * (len(known) - 6))
        return text

    for method, path, options in uses:
        response = stranger.send(method, path, **options)
        assert response.status_code == 404, f"{method} {path}: {response.status_code} {response.text}"
        as_unknown = {"json": json.loads(never_was(json.dumps(options["json"])))} if "json" in options else options
        unknown = stranger.send(method, never_was(path), **as_unknown)
        assert unknown.status_code == 404
        assert unknown.json()["error"] == json.loads(never_was(response.text))["error"], "as if it did not exist"
    assert oci_api.content(mine, uploaded["id"]) == b"secret"
    oci_api.delete(mine)
    stranger.delete(theirs)
    oci_api.call("DELETE", f"/files/{stored['id']}")


def test_a_revoked_key_opens_nothing(oci_server: AtollServer) -> None:
    with Api(oci_server.base_url, make_key(oci_server, "to be revoked")) as api:
        api.containers()
        (line,) = [line for line in oci_server.atoll("keys", "list").splitlines() if "for to be revoked" in line]
        found = KEY_ID.search(line)
        assert found
        oci_server.atoll("keys", "revoke", found[0])
        wait_until(lambda: api.send("GET", "/containers").status_code == 401, what="the key refused")
        assert oci_server.api_key not in oci_server.atoll("keys", "list")


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Basic eDp5"}, {"api-key": "x"}],
)
def test_without_a_key(headers: dict[str, str], oci_server: AtollServer) -> None:
    for path in ("/containers", "/files", "/no/such/route"):
        response = httpx.get(oci_server.base_url + path, headers=headers, trust_env=False)
        assert response.status_code in (401, 404), path
        assert response.json()["error"]["type"]
        assert (response.status_code == 401) or path == "/no/such/route"


def test_a_key_as_azure_clients_send_it(oci_server: AtollServer) -> None:
    headers = {"api-key": oci_server.api_key}
    assert httpx.get(oci_server.base_url + "/containers", headers=headers, trust_env=False).status_code == 200


def test_secrets_are_not_kept(oci_server: AtollServer) -> None:
    secret = make_key(oci_server, "secrets")
    kept = b"".join(path.read_bytes() for path in oci_server.data_dir.glob("atoll.db*"))
    assert secret.encode() not in kept
    assert oci_server.api_key.encode() not in kept
    assert secret not in oci_server.log_tail(lines_max=100_000)
