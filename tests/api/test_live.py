"""The API on real services and sandboxes: through the official client, and by hand where it cannot say it."""

import threading
from collections.abc import Iterator

import httpx
import openai
import pytest
from openai import OpenAI

from tests.api.conftest import Live, checked_client
from tests.api.contract import events

UNKNOWN = "cntr_" + "0" * 48
UNKNOWN_FILE = "cfile_" + "0" * 32


@pytest.fixture
def sdk(live: Live) -> Iterator[OpenAI]:
    with OpenAI(base_url=live.base_url, api_key=live.key, max_retries=0) as client:
        yield client


def test_pages_are_walked_by_the_sdk_in_both_orders(sdk: OpenAI) -> None:
    made = [sdk.containers.create(name=f"page {number % 2}").id for number in range(5)]
    try:
        assert [c.id for c in sdk.containers.list(limit=2, order="asc")] == made
        assert [c.id for c in sdk.containers.list(limit=2)] == made[::-1]
        assert [c.id for c in sdk.containers.list(limit=1, name="page 1", order="asc")] == made[1::2]
        assert sdk.containers.list(limit=5).has_more is False
        assert sdk.containers.list(limit=4).has_more is True
        sdk.containers.delete(made[2])
        assert [c.id for c in sdk.containers.list(after=made[2], order="asc")] == made[3:]
        assert sdk.containers.list(after=made[-1], order="asc").data == []
    finally:
        for container in sdk.containers.list():
            sdk.containers.delete(container.id)


async def test_a_container_from_its_making_to_its_end(live: Live) -> None:
    async with checked_client(live.url, live.key) as client:
        made = await client.post("/v1/containers", json={"name": "whole"})
        assert made.status_code == 200, made.text
        container = made.json()
        path = f"/v1/containers/{container['id']}"
        assert (await client.get(path)).json()["name"] == "whole"
        file = (await client.post(f"{path}/files", files={"file": ("sub/data.csv", b"a,b\n1,2\n")})).json()
        assert (file["path"], file["source"], file["bytes"]) == ("/mnt/data/data.csv", "user", 8)

        code = "print(open('data.csv').read()); open('out.txt', 'w').write('made'); 6 * 7"
        call = (await client.post(f"{path}/code_interpreter_calls", json={"code": code})).json()
        assert (call["status"], call["container_id"], call["code"]) == ("completed", container["id"], code)
        assert call["outputs"][-1]["logs"].endswith("42\n")
        assert [entry["path"] for entry in call["files"]] == ["/mnt/data/out.txt"]

        listed = (await client.get(f"{path}/files?order=asc")).json()
        assert [entry["source"] for entry in listed["data"]] == ["user", "assistant"]
        content = await client.get(f"{path}/files/{file['id']}/content", headers={"range": "bytes=0-2"})
        assert (content.status_code, content.content) == (206, b"a,b")
        assert (await client.delete(f"{path}/files/{file['id']}")).json()["deleted"] is True
        assert (await client.get(f"{path}/files/{file['id']}")).status_code == 404

        shell = await client.post(
            f"{path}/shell_calls",
            json={
                "commands": ["echo out; echo err >&2; exit 3", "cat out.txt"],
                "call_id": "mine",
                "max_output_length": 99,
            },
        )
        assert shell.json()["call_id"] == "mine"
        assert shell.json()["max_output_length"] == 99
        assert shell.json()["output"] == [
            {"stdout": "out\n", "stderr": "err\n", "outcome": {"type": "exit", "exit_code": 3}},
            {"stdout": "made", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}},
        ]
        streamed = await client.post(f"{path}/shell_calls", json={"commands": ["echo a", "echo b"], "stream": True})
        told = events(streamed.text)
        assert [event["type"] for event in told if event["type"].endswith(("added", "done"))] == [
            "response.output_item.added",
            "response.shell_call_output_content.done",
            "response.shell_call_output_content.done",
            "response.output_item.done",
        ]
        assert [result["stdout"] for result in told[-1]["item"]["output"]] == ["a\n", "b\n"]

        assert (await client.post(f"{path}/interrupt")).json()["interrupted"] is False
        assert (await client.post(f"{path}/restart")).json()["restarted"] is True
        assert (await client.delete(path)).json() == {
            "id": container["id"],
            "object": "container.deleted",
            "deleted": True,
        }
        for after in (path, f"{path}/files"):
            gone = await client.get(after)
            assert gone.status_code == 404
            assert gone.json()["error"]["message"] == f"Container with id '{container['id']}' not found."


async def test_a_project_file_goes_into_containers(live: Live) -> None:
    async with checked_client(live.url, live.key) as client:
        stored = (
            await client.post(
                "/v1/files", files={"file": ("seed.txt", b"x" * 3_000_000)}, data={"purpose": "user_data"}
            )
        ).json()
        assert (stored["bytes"], stored["expires_at"], stored["status"]) == (3_000_000, None, "processed")
        container = (await client.post("/v1/containers", json={"name": "f", "file_ids": [stored["id"]]})).json()
        path = f"/v1/containers/{container['id']}"
        [file] = (await client.get(f"{path}/files")).json()["data"]
        assert (file["path"], file["bytes"]) == ("/mnt/data/seed.txt", 3_000_000)
        assert (await client.get(f"/v1/files/{stored['id']}/content")).content == b"x" * 3_000_000
        assert (await client.get("/v1/files?purpose=user_data")).json()["data"] == [stored]
        assert (await client.delete(f"/v1/files/{stored['id']}")).json() == {
            "id": stored["id"],
            "object": "file",
            "deleted": True,
        }
        gone = await client.post(f"{path}/files", json={"file_id": stored["id"]})
        assert gone.status_code == 404
        assert gone.json()["error"]["message"] == f"No such File object: {stored['id']}"
        assert gone.json()["error"]["param"] == "id"
        await client.delete(path)


async def test_what_the_services_refuse(live: Live) -> None:
    async with checked_client(live.url, live.key) as client:
        unknown = await client.post(f"/v1/containers/{UNKNOWN}/code_interpreter_calls", json={"code": "1"})
        assert unknown.json()["error"]["message"] == f"Container with id '{UNKNOWN}' not found."
        assert (await client.get("/v1/containers/nonsense")).status_code == 404

        policy = {"type": "allowlist", "allowed_domains": ["example.com"]}
        refused = await client.post("/v1/containers", json={"name": "a", "network_policy": policy})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "network_policy.type")

        long_life = {"anchor": "last_active_at", "minutes": 43_201}
        refused = await client.post("/v1/containers", json={"name": "a", "expires_after": long_life})
        assert refused.status_code == 400
        assert refused.json()["error"]["code"] == "integer_above_max_value"
        assert refused.json()["error"]["param"] == "expires_after.minutes"
        assert "Expected a value <= 43200, but got 43201 instead." in refused.json()["error"]["message"]

        container = (await client.post("/v1/containers", json={"name": "a"})).json()
        path = f"/v1/containers/{container['id']}"
        missing = await client.get(f"{path}/files/{UNKNOWN_FILE}")
        assert missing.json()["error"]["message"] == f"File {UNKNOWN_FILE} not found on container {container['id']}."
        big = await client.post(f"{path}/files", files={"file": ("big", b"x" * ((8 << 20) + 1))})
        assert big.status_code == 413
        assert (await client.get(f"{path}/files")).json()["data"] == []
        for body in ({"code": "1", "timeout_ms": 10**9}, {"code": "x" * ((1 << 20) + 1)}):
            assert (await client.post(f"{path}/code_interpreter_calls", json=body)).status_code == 400
        await client.delete(path)


def test_going_away_interrupts_real_code(live: Live) -> None:
    headers = {"Authorization": f"Bearer {live.key}"}
    with httpx.Client(base_url=live.base_url, headers=headers, trust_env=False, timeout=30) as client:
        container_id = client.post("/containers", json={"name": "left"}).json()["id"]
        calls = f"/containers/{container_id}/code_interpreter_calls"
        code = (
            "import time\ntry:\n    print('begun', flush=True)\n    time.sleep(600)\n"
            "except KeyboardInterrupt:\n    left = True"
        )
        with client.stream("POST", calls, json={"code": code, "stream": True}) as response:
            for line in response.iter_lines():
                if "begun" in line and "logs.delta" in line:
                    break
        after = client.post(calls, json={"code": "left"}).json()
        assert after["outputs"] == [{"type": "logs", "logs": "True\n"}]
        client.delete(f"/containers/{container_id}")


def test_calls_that_wait_can_be_interrupted_in_their_turn(live: Live) -> None:
    headers = {"Authorization": f"Bearer {live.key}"}
    with httpx.Client(base_url=live.base_url, headers=headers, trust_env=False, timeout=30) as client:
        container_id = client.post("/containers", json={"name": "busy"}).json()["id"]
        calls = f"/containers/{container_id}/code_interpreter_calls"
        answers: list[httpx.Response] = []
        code = "import pathlib, time\npathlib.Path('begun').touch()\ntime.sleep(600)"
        waiting = threading.Thread(target=lambda: answers.append(client.post(calls, json={"code": code})))
        waiting.start()
        while not client.get(f"/containers/{container_id}/files").json()["data"]:
            pass
        assert client.post(f"/containers/{container_id}/interrupt").json()["interrupted"] is True
        waiting.join()
        assert answers[0].json()["status"] == "incomplete"
        client.delete(f"/containers/{container_id}")


def test_a_wrong_key_is_told_as_the_sdk_knows_it(live: Live) -> None:
    with (
        OpenAI(base_url=live.base_url, api_key="sk-atoll-" + "w" * 43, max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as raised,
    ):
        client.containers.list()
    assert raised.value.code == "invalid_api_key"
    assert raised.value.request_id
    assert "sk-at…www" in raised.value.message
