"""Many at once: containers, calls on one container, and clients that go away."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import httpx
import pytest

from tests.harness.api import Api, logs_of
from tests.harness.poll import wait_until

T = TypeVar("T")

CALLS_WAITING_MAX = 32


def all_at_once(work: Callable[[int], T], count: int) -> list[T]:
    """Run ``work(0)`` to ``work(count - 1)`` in threads that start together; give the results in order."""
    gate = threading.Barrier(count)

    def begin(number: int) -> T:
        gate.wait(timeout=30)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def test_sixteen_containers_at_once(oci_api: Api) -> None:
    def live(number: int) -> tuple[str, bytes, str]:
        container_id = oci_api.create("sixteen")["id"]
        content = bytes([number]) * 100_000
        oci_api.upload(container_id, "mine.bin", content)
        written = oci_api.logs(container_id, f"data = open('mine.bin', 'rb').read()\nprint(set(data), {number})")
        assert written == f"{{{number}}} {number}\n"
        (file,) = oci_api.files(container_id)
        return container_id, oci_api.content(container_id, file["id"]), file["path"]

    lives = all_at_once(live, 16)
    ids = [container_id for container_id, _, _ in lives]
    assert len(set(ids)) == 16
    assert [content for _, content, _ in lives] == [bytes([number]) * 100_000 for number in range(16)]
    assert {item["id"] for item in oci_api.containers(name="sixteen")} == set(ids)
    all_at_once(lambda number: oci_api.delete(ids[number]), 16)
    assert oci_api.containers(name="sixteen") == []


def test_random_numbers_differ(oci_api: Api) -> None:
    ids = [oci_api.create("random")["id"] for _ in range(4)]
    code = "import random, uuid, numpy\nprint(random.random(), uuid.uuid4(), numpy.random.random())"
    drawn = all_at_once(lambda number: oci_api.logs(ids[number], code).split(), len(ids))
    for kind in zip(*drawn, strict=True):
        assert len(set(kind)) == len(ids)
    for container_id in ids:
        oci_api.delete(container_id)


def calls_waiting(api: Api) -> float:
    """Ask the server how many Python calls wait for their turn."""
    text = api.send("GET", api.base_url.removesuffix("/v1") + "/metrics").text
    found = re.search(r'^atoll_calls_waiting\{kind="python"\} ([0-9.e+]+)$', text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_calls_on_one_container_run_one_by_one_in_order(container: str, oci_api: Api) -> None:
    path = f"/containers/{container}/code_interpreter_calls"
    holding = (
        "import os, time\norder = []\nprint('holding', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.01)"
    )
    with ThreadPoolExecutor(8) as pool, oci_api.streamed(path, {"code": holding}) as events:
        next(event for event in events if event.name.endswith("_logs.delta"))
        waiting: list[Future[str]] = []
        for number in range(8):
            waiting.append(pool.submit(oci_api.logs, container, f"order.append({number})\nprint(order[-1])"))
            wait_until(lambda: calls_waiting(oci_api) == len(waiting), what="the call in the queue")
            oci_api.retrieve(container)
        assert not any(future.done() for future in waiting)
        oci_api.upload(container, "go", b"")
        assert list(events)[-1].data["item"]["status"] == "completed"
        assert [future.result() for future in waiting] == [f"{number}\n" for number in range(8)]
    assert oci_api.logs(container, "print(order)") == f"{list(range(8))}\n"


def test_the_queue_is_bounded(container: str, oci_api: Api) -> None:
    path = f"/containers/{container}/shell_calls"
    holding = {"commands": ["echo holding; while [ ! -e go ]; do sleep 0.02; done"]}
    extra = 5
    refused: list[httpx.Response] = []
    all_refused = threading.Event()

    def call(_: int) -> int:
        response = oci_api.send("POST", path, json={"commands": ["true"]})
        if response.status_code != 200:
            refused.append(response)
            if len(refused) == extra:
                all_refused.set()
        return response.status_code

    with ThreadPoolExecutor(CALLS_WAITING_MAX + extra) as pool, oci_api.streamed(path, holding) as events:
        next(event for event in events if event.name.endswith(".delta"))
        calls = [pool.submit(call, number) for number in range(CALLS_WAITING_MAX + extra)]
        assert all_refused.wait(30), "too many calls were let in"
        oci_api.upload(container, "go", b"")
        assert list(events)[-1].name == "response.output_item.done"
        statuses = sorted(future.result() for future in calls)
    assert statuses == [200] * CALLS_WAITING_MAX + [429] * extra
    for response in refused:
        assert int(response.headers["retry-after"]) >= 1
        assert response.json()["error"]["message"]


def test_files_move_while_a_call_runs(container: str, oci_api: Api) -> None:
    path = f"/containers/{container}/code_interpreter_calls"
    code = (
        "import os, time\nprint('waiting', flush=True)\n"
        "while not os.path.exists('given'): time.sleep(0.01)\nprint(open('given').read())"
    )
    with oci_api.streamed(path, {"code": code}) as events:
        next(event for event in events if event.name.endswith("_logs.delta"))
        file = oci_api.upload(container, "given", b"whole at once")
        assert oci_api.content(container, file["id"]) == b"whole at once"
        assert logs_of(list(events)[-1].data["item"]) == "waiting\nwhole at once\n"


def test_output_arrives_while_it_is_produced(container: str, oci_api: Api) -> None:
    """Each line is only written once the one before has arrived here."""
    code = (
        "import os, time\nfor n in range(5):\n    print('line', n)\n"
        "    while not os.path.exists(f'seen-{n}'): time.sleep(0.01)"
    )
    seen = ""
    with oci_api.streamed(f"/containers/{container}/code_interpreter_calls", {"code": code}) as events:
        for event in events:
            if event.name.endswith("_logs.delta"):
                seen += event.data["delta"]
                oci_api.upload(container, f"seen-{seen.count(chr(10)) - 1}", b"")
    assert seen == "".join(f"line {n}\n" for n in range(5))


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_interrupts_its_call(stream: bool, container: str, oci_api: Api) -> None:
    body = {"code": "open('begun', 'w').close()\nprint('on', flush=True)\nwhile True: pass", "timeout_ms": 600_000}
    oci_api.logs(container, "kept = 'variables are kept'")
    path = f"/containers/{container}/code_interpreter_calls"
    if stream:
        with oci_api.streamed(path, body) as events:
            next(event for event in events if event.name.endswith("_logs.delta"))
    else:
        with Api(oci_api.base_url, oci_api.api_key, timeout_s=1.0) as hasty, pytest.raises(httpx.ReadTimeout):
            hasty.call("POST", path, json=body)
    assert oci_api.logs(container, "print(kept)", timeout_ms=5_000) == "variables are kept\n"


def test_a_client_that_goes_away_leaves_the_queue(container: str, oci_api: Api) -> None:
    path = f"/containers/{container}/code_interpreter_calls"
    holding = "import os, time\nprint('holding', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.01)"
    with oci_api.streamed(path, {"code": holding}) as events:
        next(event for event in events if event.name.endswith("_logs.delta"))
        with Api(oci_api.base_url, oci_api.api_key, timeout_s=0.5) as hasty, pytest.raises(httpx.ReadTimeout):
            hasty.python(container, "open('must-not-be', 'w')")
        oci_api.upload(container, "go", b"")
        assert list(events)[-1].data["item"]["status"] == "completed"
    assert oci_api.logs(container, "print(os.path.exists('must-not-be'))") == "False\n"


def test_an_upload_that_breaks_off_changes_nothing(container: str, oci_api: Api) -> None:
    file = oci_api.upload(container, "target.bin", b"before")

    def half() -> object:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="target.bin"\r\n\r\n'
        yield b"x" * 200_000
        raise ConnectionAbortedError

    with Api(oci_api.base_url, oci_api.api_key) as api, pytest.raises(ConnectionAbortedError):
        api.send(
            "POST",
            f"/containers/{container}/files",
            content=half(),
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )
    assert oci_api.content(container, file["id"]) == b"before"
    assert oci_api.shell(container, "ls -A")[0]["stdout"] == "target.bin\n"


def test_deleting_ends_the_calls(oci_api: Api) -> None:
    container_id = oci_api.create("to be deleted")["id"]
    with oci_api.streamed(
        f"/containers/{container_id}/code_interpreter_calls", {"code": "print(1)\nwhile True: pass"}
    ) as events:
        next(event for event in events if event.name.endswith("_logs.delta"))
        oci_api.delete(container_id)
        assert list(events)[-1].name in ("error", "response.output_item.done")
    assert oci_api.send("GET", f"/containers/{container_id}").status_code == 404


def test_the_same_upload_from_many_sides(container: str, oci_api: Api) -> None:
    uploads = all_at_once(lambda number: oci_api.upload(container, "same", bytes([number]) * 300_000), 8)
    assert len({file["id"] for file in uploads}) == 1
    (file,) = oci_api.files(container)
    content = oci_api.content(container, file["id"])
    assert len(content) == 300_000
    assert len(set(content)) == 1, "a mixture of two uploads"


def test_large_files_stream(container: str, oci_api: Api) -> None:
    content = bytes(range(256)) * (80 << 12)  # 80 MiB
    file = oci_api.upload(container, "large.bin", content)
    assert file["bytes"] == len(content)
    where = f"/containers/{container}/files/{file['id']}/content"
    assert oci_api.send("GET", where).content == content
    part = oci_api.send("GET", where, headers={"Range": "bytes=1000-1999"})
    assert part.status_code == 206
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(content)}"
    assert part.content == content[1000:2000]
