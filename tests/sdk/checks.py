"""What the official Python client must be able to do, for every version of it.

Each ``check_…`` takes a ``Target``. The newest client runs them inside pytest; others, in their own interpreter, run
this file as a program (``python checks.py BASE_URL API_KEY``), which needs nothing but ``openai``: it prints one JSON
line for each check, ``{"name", "error"}``.
"""

import asyncio
import io
import json
import pathlib
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import openai
from openai import AsyncOpenAI, AzureOpenAI, OpenAI, Stream

CONTAINER_ID = re.compile(r"cntr_[0-9a-f]{48}")
CONTAINER_FILE_ID = re.compile(r"cfile_[0-9a-f]{32}")
UNKNOWN_CONTAINER = "cntr_" + "0" * 48
UNKNOWN_FILE = "cfile_" + "0" * 32


@dataclass(frozen=True)
class Target:
    """The server to talk to."""

    base_url: str
    api_key: str

    def client(self) -> OpenAI:
        """Give a client that never tries twice, so that one request is one answer."""
        return OpenAI(base_url=self.base_url, api_key=self.api_key, max_retries=0)


@contextmanager
def a_container(client: OpenAI, name: str = "sdk", **options: Any) -> Iterator[Any]:
    """Make a container for the time of one check."""
    container = client.containers.create(name=name, **options)
    try:
        yield container
    finally:
        client.containers.delete(container.id)


@contextmanager
def refused(kind: type[openai.APIStatusError], message: str) -> Iterator[list[Any]]:
    """Expect an error of exactly this class whose message matches; it is then in the list that is given."""
    caught: list[Any] = []
    try:
        yield caught
    except openai.APIStatusError as error:
        caught.append(error)
    assert caught, f"{kind.__name__} was expected"
    assert type(caught[0]) is kind, repr(caught[0])
    assert re.search(message, caught[0].message), caught[0].message
    assert caught[0].request_id, "an answer without x-request-id"


def check_create_with_every_option(target: Target) -> None:
    with target.client() as client:
        stored = client.files.create(file=("seed.txt", b"seed"), purpose="user_data")
        with a_container(
            client,
            name="all options",
            expires_after={"anchor": "last_active_at", "minutes": 7},
            file_ids=[stored.id],
            extra_body={"memory_limit": "1g", "network_policy": {"type": "disabled"}},
        ) as container:
            assert CONTAINER_ID.fullmatch(container.id)
            assert container.object == "container"
            assert container.name == "all options"
            assert container.status == "running"
            assert container.expires_after.anchor == "last_active_at"
            assert container.expires_after.minutes == 7
            body = container.to_dict()
            assert body["memory_limit"] == "1g"
            assert body["network_policy"] == {"type": "disabled"}
            assert abs(body["last_active_at"] - container.created_at) <= 1
            assert container._request_id
            (file,) = client.containers.files.list(container.id)
            assert file.path == "/mnt/data/seed.txt"
            assert client.containers.files.content.retrieve(file.id, container_id=container.id).read() == b"seed"
        client.files.delete(stored.id)


def check_create_with_a_name_only(target: Target) -> None:
    with target.client() as client, a_container(client, name="bare") as container:
        body = container.to_dict()
        assert body["expires_after"] == {"anchor": "last_active_at", "minutes": 20}
        assert body["memory_limit"] == "1g"
        assert body["network_policy"] == {"type": "disabled"}


def check_create_is_refused(target: Target) -> None:
    with target.client() as client:
        with refused(openai.BadRequestError, "minutes") as caught:
            client.containers.create(name="x", expires_after={"anchor": "last_active_at", "minutes": 10_000_000})
        assert caught[0].param == "expires_after.minutes"
        assert caught[0].code == "integer_above_max_value"
        assert caught[0].type == "invalid_request_error"
        with refused(openai.BadRequestError, "Unknown parameter: 'colour'") as caught:
            client.containers.create(name="x", extra_body={"colour": "blue"})
        assert caught[0].code == "unknown_parameter"
        assert caught[0].param == "colour"
        with refused(openai.BadRequestError, "allowed_domains|allowlist"):
            policy = {"type": "allowlist", "allowed_domains": ["https://example.com/"]}
            client.containers.create(name="x", extra_body={"network_policy": policy})
        with refused(openai.BadRequestError, "skill"):
            skills = [{"type": "skill_reference", "skill_id": "skill_1"}]
            client.containers.create(name="x", extra_body={"skills": skills})
        with refused(openai.BadRequestError, "Supported values are: '1g', '4g', '16g', and '64g'") as caught:
            client.containers.create(name="x", extra_body={"memory_limit": "2g"})
        assert caught[0].param == "memory_limit"
        with refused(openai.NotFoundError, "file-"):
            client.containers.create(name="x", file_ids=["file-" + "0" * 32])
        assert not list(client.containers.list(extra_query={"name": "x"})), "a refused create left a container"


def check_list_pages_in_both_orders(target: Target) -> None:
    with target.client() as client:
        made = [client.containers.create(name="paged").id for _ in range(5)]
        only = {"name": "paged"}
        orders: tuple[tuple[Literal["asc", "desc"], list[str]], ...] = (("asc", made), ("desc", made[::-1]))
        for order, expected in orders:
            page = client.containers.list(limit=2, order=order, extra_query=only)
            assert page.has_more
            assert [item.id for item in page.data] == expected[:2]
            assert [item.id for item in page] == expected
        assert [item.id for item in client.containers.list(extra_query=only)] == made[::-1], "default order is desc"
        assert [item.id for item in client.containers.list(after=made[3], order="asc", extra_query=only)] == made[4:]
        for container_id in made:
            deleted: Any = client.delete(f"/containers/{container_id}", cast_to=object)
            assert deleted == {"id": container_id, "object": "container.deleted", "deleted": True}
        assert list(client.containers.list(extra_query=only)) == []
        page = client.containers.list(limit=1, after=made[0], order="asc", extra_query=only)
        assert page.data == [], "a cursor works when its object is gone"
        raw: Any = client.get("/containers", options={"params": only}, cast_to=object)
        assert raw == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


def check_list_filters_by_name(target: Target) -> None:
    with target.client() as client, a_container(client, "na'me %") as one, a_container(client, "na'me %2"):
        assert [item.id for item in client.containers.list(extra_query={"name": "na'me %"})] == [one.id]
        everything = [item.id for item in client.containers.list(limit=3)]
        assert one.id in everything
        assert len(everything) == len(set(everything))


def check_list_is_refused(target: Target) -> None:
    with target.client() as client:
        with refused(openai.BadRequestError, "Expected a value <= 100, but got 101") as caught:
            client.containers.list(limit=101)
        assert caught[0].param == "limit"
        assert caught[0].code == "integer_above_max_value"
        with refused(openai.BadRequestError, "after"):
            client.containers.list(after="nonsense")
        with refused(openai.BadRequestError, "Supported values are: .asc. and .desc.") as caught:
            client.containers.list(extra_query={"order": "sideways"})
        assert caught[0].param == "order"
        client.containers.list(limit=1, extra_query={"flavour": "sweet"})


def check_retrieve_and_delete(target: Target) -> None:
    with target.client() as client:
        container = client.containers.create(name="short life")
        found = client.containers.retrieve(container.id)
        assert (found.id, found.name, found.status) == (container.id, "short life", "running")
        client.containers.delete(container.id)
        for use in (client.containers.retrieve, client.containers.delete, client.containers.files.list):
            with refused(openai.NotFoundError, f"Container with id '{container.id}' not found") as caught:
                use(container.id)
            assert (caught[0].type, caught[0].param, caught[0].code) == ("invalid_request_error", None, None)


def check_every_form_of_upload(target: Target) -> None:
    with tempfile.TemporaryDirectory() as folder, target.client() as client, a_container(client) as container:
        on_disk = pathlib.Path(folder) / "on disk.bin"
        on_disk.write_bytes(bytes(range(256)) * 5000)
        forms: list[tuple[Any, str, bytes]] = [
            (b"just bytes", "upload", b"just bytes"),
            (on_disk, "on disk.bin", on_disk.read_bytes()),
            (("tüple.txt", b"named"), "tüple.txt", b"named"),
            (("typed.json", b"{}", "application/json"), "typed.json", b"{}"),
            (("sub/dir/flat.txt", b"no folder"), "flat.txt", b"no folder"),
            (("empty", b""), "empty", b""),
            (("stream", io.BytesIO(b"streamed")), "stream", b"streamed"),
        ]
        for given, name, content in forms:
            file = client.containers.files.create(container.id, file=given)
            assert CONTAINER_FILE_ID.fullmatch(file.id)
            assert file.object == "container.file"
            assert file.path == f"/mnt/data/{name}", file.path
            assert (file.bytes, file.source, file.container_id) == (len(content), "user", container.id)
            _check_content(client, file, content)
        with on_disk.open("rb") as opened:
            again = client.containers.files.create(container.id, file=opened)
        assert again.path == "/mnt/data/on disk.bin"
        assert len(list(client.containers.files.list(container.id))) == len(forms)


def _check_content(client: OpenAI, file: Any, content: bytes) -> None:
    where = {"file_id": file.id, "container_id": file.container_id}
    assert client.containers.files.content.retrieve(**where).read() == content
    with client.containers.files.content.with_streaming_response.retrieve(**where) as response:
        assert b"".join(response.iter_bytes()) == content
        assert int(response.headers["content-length"]) == len(content)


def check_upload_by_file_id(target: Target) -> None:
    """The newest client sends JSON here, 1.x a form."""
    with target.client() as client, a_container(client) as container:
        stored = client.files.create(file=("of the project.csv", b"a,b\n"), purpose="user_data")
        file = client.containers.files.create(container.id, file_id=stored.id)
        assert file.path == "/mnt/data/of the project.csv"
        assert file.bytes == 4
        other = client.files.create(file=("of the project.csv", b"something else"), purpose="user_data")
        beside = client.containers.files.create(container.id, file_id=other.id)
        assert beside.path == f"/mnt/data/{other.id}-of the project.csv"
        assert client.containers.files.content.retrieve(file.id, container_id=container.id).read() == b"a,b\n"
        for uploaded in (stored, other):
            client.files.delete(uploaded.id)
        with refused(openai.NotFoundError, "No such File object") as caught:
            client.containers.files.create(container.id, file_id=stored.id)
        assert caught[0].param == "id"
        with refused(openai.BadRequestError, "file"):
            client.containers.files.create(container.id)


def check_container_files(target: Target) -> None:
    with target.client() as client, a_container(client) as container:
        files = client.containers.files
        made = [files.create(container.id, file=(f"{number}.txt", b"x" * number)).id for number in range(5)]
        assert [file.id for file in files.list(container.id, limit=2, order="asc")] == made
        assert [file.id for file in files.list(container.id, limit=2)] == made[::-1]
        replaced = files.create(container.id, file=("3.txt", b"replaced"))
        assert replaced.id == made[3]
        assert files.retrieve(made[3], container_id=container.id).bytes == 8
        files.delete(made[0], container_id=container.id)
        assert made[0] not in [file.id for file in files.list(container.id)]
        uses: tuple[Callable[..., Any], ...] = (files.retrieve, files.delete, files.content.retrieve)
        for use in uses:
            with refused(openai.NotFoundError, f"File {made[0]} not found on container {container.id}"):
                use(made[0], container_id=container.id)
            with refused(openai.NotFoundError, f"File {UNKNOWN_FILE} not found"):
                use(UNKNOWN_FILE, container_id=container.id)
            with refused(openai.NotFoundError, UNKNOWN_CONTAINER):
                use(UNKNOWN_FILE, container_id=UNKNOWN_CONTAINER)


def check_project_files(target: Target) -> None:
    with target.client() as client:
        content = bytes(range(256)) * 100
        stored = client.files.create(file=("data.bin", content), purpose="user_data")
        assert stored.id.startswith("file-")
        assert (stored.object, stored.bytes, stored.filename) == ("file", len(content), "data.bin")
        assert stored.purpose == "user_data"
        assert stored.status == "processed"
        assert client.files.retrieve(stored.id).id == stored.id
        assert client.files.content(stored.id).read() == content
        assert stored.id in [file.id for file in client.files.list(purpose="user_data", limit=1)]
        assert stored.id not in [file.id for file in client.files.list(purpose="vision")]
        deleted = client.files.delete(stored.id)
        assert (deleted.id, deleted.deleted, deleted.object) == (stored.id, True, "file")
        with refused(openai.NotFoundError, f"No such File object: {stored.id}") as caught:
            client.files.retrieve(stored.id)
        assert caught[0].param == "id"


def check_errors_have_their_class(target: Target) -> None:
    with OpenAI(base_url=target.base_url, api_key="sk-wrong", max_retries=0) as stranger:
        with refused(openai.AuthenticationError, "Incorrect API key provided") as caught:
            stranger.containers.list()
        assert caught[0].code == "invalid_api_key"
    with target.client() as client:
        with refused(openai.NotFoundError, "."):
            client.get("/no/such/route", cast_to=object)
        with refused(openai.NotFoundError, "."):
            client.containers.retrieve("../../etc/passwd")
        with refused(openai.NotFoundError, UNKNOWN_CONTAINER):
            client.post(f"/containers/{UNKNOWN_CONTAINER}/code_interpreter_calls", body={"code": "1"}, cast_to=object)


def check_running_code(target: Target) -> None:
    with target.client() as client, a_container(client) as container:
        client.containers.files.create(container.id, file=("sales.csv", b"month,sold\nJan,3\nFeb,5\n"))
        path = f"/containers/{container.id}/code_interpreter_calls"
        code = "import pandas as pd\npd.read_csv('sales.csv')['sold'].sum()"
        call: Any = client.post(path, body={"code": code}, cast_to=object)
        assert call["type"] == "code_interpreter_call"
        assert call["id"].startswith("ci_")
        assert call["status"] == "completed"
        assert call["code"] == code
        assert call["container_id"] == container.id
        (logs,) = call["outputs"]
        assert "8" in logs["logs"]
        client.post(path, body={"code": "open('made.txt', 'w').write('by code')"}, cast_to=object)
        (made,) = [file for file in client.containers.files.list(container.id) if file.source == "assistant"]
        assert made.path == "/mnt/data/made.txt"
        shell: Any = client.post(
            f"/containers/{container.id}/shell_calls", body={"commands": ["cat made.txt", "exit 3"]}, cast_to=object
        )
        assert shell["type"] == "shell_call_output"
        assert [item["outcome"] for item in shell["output"]] == [
            {"type": "exit", "exit_code": 0},
            {"type": "exit", "exit_code": 3},
        ]
        assert shell["output"][0]["stdout"] == "by code"


def check_streaming(target: Target) -> None:
    with target.client() as client, a_container(client) as container:
        stream: Any = client.post(
            f"/containers/{container.id}/code_interpreter_calls",
            body={"code": "for n in range(3): print(n)", "stream": True},
            cast_to=object,
            stream=True,
            stream_cls=Stream[object],
        )
        with stream:
            events: list[Any] = list(stream)
        kinds = [event["type"] for event in events]
        assert kinds[0] == "response.code_interpreter_call.in_progress", kinds
        assert kinds[-1] == "response.output_item.done", kinds
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        written = "".join(event["delta"] for event in events if event["type"].endswith("_logs.delta"))
        assert written == "0\n1\n2\n"
        assert events[-1]["item"]["status"] == "completed"


def check_watching(target: Target) -> None:
    with target.client() as client:
        container = client.containers.create(name="watched")
        path = f"/containers/{container.id}"
        client.post(f"{path}/code_interpreter_calls", body={"code": "1"}, cast_to=object)
        stream: Any = client.get(
            f"{path}/events",
            options={"params": {"after": "start"}},
            cast_to=object,
            stream=True,
            stream_cls=Stream[object],
        )
        with stream:
            events = [next(stream) for _ in range(3)]
            assert [event["type"] for event in events] == ["container.created", "call.started", "call.ended"], events
            client.containers.delete(container.id)
            assert [event["type"] for event in stream] == ["container.deleted"]


def check_azure_client(target: Target) -> None:
    root = target.base_url.removesuffix("/v1")
    with (
        AzureOpenAI(
            base_url=f"{root}/openai/v1", api_key=target.api_key, api_version="preview", max_retries=0
        ) as client,
        a_container(client, "azure") as container,
    ):
        assert container.id in [item.id for item in client.containers.list(limit=100)]
        file = client.containers.files.create(container.id, file=("x.txt", b"x"))
        assert client.containers.files.content.retrieve(file.id, container_id=container.id).read() == b"x"


def check_async_client(target: Target) -> None:
    async def use() -> None:
        async with AsyncOpenAI(base_url=target.base_url, api_key=target.api_key, max_retries=0) as client:
            containers = await asyncio.gather(*(client.containers.create(name="async") for _ in range(3)))
            listed = [item.id async for item in client.containers.list(limit=1, extra_query={"name": "async"})]
            assert sorted(listed) == sorted(container.id for container in containers)
            await asyncio.gather(*(client.containers.delete(container.id) for container in containers))

    asyncio.run(use())


CHECKS: dict[str, Callable[[Target], None]] = {
    name.removeprefix("check_"): function for name, function in list(globals().items()) if name.startswith("check_")
}


def main() -> None:
    """Run every check against the server that the command line names."""
    target = Target(base_url=sys.argv[1], api_key=sys.argv[2])
    print(json.dumps({"version": openai.__version__}), flush=True)
    for name, check in CHECKS.items():
        error = None
        try:
            check(target)
        except Exception:  # noqa: BLE001 - whatever went wrong is the result, and the next check runs all the same
            error = traceback.format_exc()
        print(json.dumps({"name": name, "error": error}), flush=True)


if __name__ == "__main__":
    main()
