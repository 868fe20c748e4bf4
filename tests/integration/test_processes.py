"""Single programs in a container: exact arguments, bytes in and out, how they end, and what cannot be run."""

import base64
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.harness.api import Api, Json
from tests.harness.poll import wait_until
from tests.harness.server import AtollServer, MakeServer

EVERY_BYTE = bytes(range(256))
SHOW = "import os, sys; sys.stdout.buffer.write(b'|'.join(map(os.fsencode, sys.argv[1:])))"
FORKS = """import os, time
try:
    for _ in range(300):
        os.fork() or time.sleep(300)
except OSError as error:
    print(error)
"""
COPY = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"


@pytest.fixture
def api(server: AtollServer) -> Api:
    """Give a client of each of the shared servers in turn."""
    return server.api()


@pytest.fixture
def box(api: Api) -> Iterator[str]:
    """Give a container on each of them."""
    container_id = api.create("processes")["id"]
    yield container_id
    api.delete(container_id)


@pytest.fixture(scope="module")
def shared_box(oci_api: Api) -> Iterator[str]:
    """Give one container behind real walls for tests that leave it as it is."""
    container_id = oci_api.create("processes")["id"]
    yield container_id
    oci_api.delete(container_id)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def refusal(api: Api, container_id: str, body: Json) -> Json:
    """Send what must be a 400; give its error."""
    response = api.send("POST", f"/containers/{container_id}/processes", json=body)
    assert response.status_code == 400, response.text[:500]
    error: Json = response.json()["error"]
    return error


def test_one_program(api: Api, box: str) -> None:
    arguments = ["", "$HOME `id`", "*", "'\"\\", "ä\n"]
    item = api.process(box, "python3", "-c", SHOW, *arguments)
    assert item["object"] == "container.process"
    assert item["container_id"] == box
    assert (item["status"], item["outcome"]) == ("completed", {"type": "exit", "exit_code": 0})
    assert (item["stdout"], item["stderr"], item["notes"]) == ("|".join(arguments), "", [])


def test_bytes_both_ways(api: Api, box: str) -> None:
    data = EVERY_BYTE * 40_000  # 10 MB would be over the output's limit
    item = api.process(box, "python3", "-c", COPY, stdin=encoded(data[:8_000_000]), encoding="base64")
    assert base64.b64decode(item["stdout"], validate=True) == data[:8_000_000]
    text = api.process(box, "cat", stdin="Grüße\n")
    assert text["stdout"] == "Grüße\n"
    broken = api.process(box, "printf", "a\\377b")
    assert broken["stdout"] == "a\N{REPLACEMENT CHARACTER}b"


def test_environment_folder_and_no_input(api: Api, box: str) -> None:
    api.process(box, "mkdir", "-p", "sub/deeper")
    script = 'echo "$NAME|$HOME"; pwd; cat; ls -d /proc/self/fd/0'
    item = api.process(box, "sh", "-c", script, env={"NAME": "a=ö b"}, cwd="/mnt/data/sub/deeper")
    lines = item["stdout"].splitlines()
    assert lines[0].startswith("a=ö b|/")
    assert lines[1].endswith("/sub/deeper")
    assert api.process(box, "pwd", cwd="sub")["stdout"].endswith("/sub\n")


def test_it_is_the_user_of_all_code(shared_box: str, oci_api: Api) -> None:
    for user in (None, "sandbox", "1000", "1000:1000", "sandbox:sandbox"):
        item = oci_api.process(
            shared_box, "sh", "-c", "id -u; id -g; id -G; grep -h NoNewPrivs /proc/self/status", user=user
        )
        assert item["stdout"].split() == ["1000", "1000", "1000", "NoNewPrivs:", "1"]
    for user in ("root", "0", "1000:0", "nobody", "65534", "../x", "-1"):
        assert refusal(oci_api, shared_box, {"argv": ["id"], "user": user})["param"] == "user"


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ("exit 7", {"type": "exit", "exit_code": 7}),
        ("kill -KILL $$", {"type": "signal", "signal": 9, "name": "SIGKILL"}),
        ("kill -SEGV $$", {"type": "signal", "signal": 11, "name": "SIGSEGV"}),
        ("kill -40 $$", {"type": "signal", "signal": 40, "name": "SIGRTMIN+6"}),
    ],
)
def test_how_it_ended(script: str, outcome: Json, shared_box: str, oci_api: Api) -> None:
    item = oci_api.process(shared_box, "bash", "-c", f"echo out; echo err >&2; {script}")
    assert (item["stdout"], item["stderr"], item["outcome"]) == ("out\n", "err\n", outcome)
    assert item["status"] == "completed"


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        ({}, "argv", "Missing"),
        ({"argv": []}, "argv", "empty array"),
        ({"argv": "ls"}, "argv", "array"),
        ({"argv": ["ls", 3]}, "argv[1]", "string"),
        ({"argv": [""]}, "argv", "not empty"),
        ({"argv": ["a\0b"]}, "argv[0]", "NUL"),
        ({"argv": ["true", "x" * 131_072]}, "argv[1]", "131071 bytes"),
        ({"argv": ["true"] * 4097}, "argv", "4096"),
        ({"argv": ["true", *["x" * 100_000] * 11]}, "argv", "1048576"),
        ({"argv": ["no-such-program"]}, "argv", "'no-such-program'"),
        ({"argv": ["/etc/passwd"]}, "argv", "Permission denied"),
        ({"argv": ["/mnt"]}, "argv", "Permission denied"),
        ({"argv": ["true"], "env": {"A=B": "c"}}, "env", "name"),
        ({"argv": ["true"], "env": {"": "c"}}, "env", "name"),
        ({"argv": ["true"], "env": {"A\0": "c"}}, "env", "name"),
        ({"argv": ["true"], "env": {"A": "c\0"}}, "env.A", "NUL"),
        ({"argv": ["true"], "env": {"A": 1}}, "env.A", "string"),
        ({"argv": ["true"], "env": ["A=1"]}, "env", "object"),
        ({"argv": ["true"], "env": {"A": "x" * 131_072}}, "env.A", "bytes"),
        ({"argv": ["true"], "env": {f"N{n}": "" for n in range(513)}}, "env", "512"),
        ({"argv": ["true"], "cwd": "/no/such/folder"}, "cwd", "No such file"),
        ({"argv": ["true"], "cwd": "/etc/passwd"}, "cwd", "Not a directory"),
        ({"argv": ["true"], "cwd": "/root"}, "cwd", "Permission denied"),
        ({"argv": ["true"], "cwd": "x" * 5000}, "cwd", "4095"),
        ({"argv": ["true"], "cwd": ""}, "cwd", "empty"),
        ({"argv": ["true"], "user": ""}, "user", "empty"),
        ({"argv": ["true"], "timeout_ms": 0}, "timeout_ms", ">= 1"),
        ({"argv": ["true"], "timeout_ms": 10**9}, "timeout_ms", "<= 3600000"),
        ({"argv": ["true"], "max_output_bytes": 10**9}, "max_output_bytes", "<="),
        ({"argv": ["true"], "encoding": "latin-1"}, "encoding", "'base64'"),
        ({"argv": ["true"], "encoding": "base64", "stdin": "?"}, "stdin", "Base64"),
        ({"argv": ["true"], "stdin": "x" * (8 * 2**20 + 1)}, "stdin", "8388608"),
        ({"argv": ["true"], "shell": True}, "shell", "Unknown"),
    ],
)
def test_refused_in_words(body: Json, param: str, says: str, shared_box: str, oci_api: Api) -> None:
    error = refusal(oci_api, shared_box, body)
    assert error["param"] == param, error
    assert says in error["message"], error
    streamed = oci_api.send("POST", f"/containers/{shared_box}/processes", json={**body, "stream": True})
    assert streamed.status_code == 400, "also where the answer would have been a stream"


def test_at_the_limits_of_what_the_kernel_takes(shared_box: str, oci_api: Api) -> None:
    item = oci_api.process(shared_box, "python3", "-c", "import sys; print(len(sys.argv[1]))", "x" * 131_071)
    assert item["stdout"] == "131071\n"
    many = oci_api.process(shared_box, "python3", "-c", "import sys; print(len(sys.argv))", *["a" * 200] * 4093)
    assert many["stdout"] == "4094\n"
    item = oci_api.process(shared_box, "sh", "-c", "echo ${#A}", env={"A": "x" * 131_069})
    assert item["stdout"] == "131069\n"


def test_time_out(api: Api, box: str) -> None:
    script = "trap '' TERM; (trap '' TERM; sleep 1000) & echo $!; echo $$; while :; do sleep 1; done"
    item = api.process(box, "sh", "-c", script, timeout_ms=500)
    assert (item["status"], item["outcome"]) == ("incomplete", {"type": "timeout"})
    wait_until(
        lambda: api.process(box, "pgrep", "-fc", "^sleep 1000")["stdout"] == "0\n", what="all of its group ended"
    )


def test_grandchildren_hold_nothing_up(api: Api, box: str) -> None:
    item = api.process(box, "sh", "-c", "setsid sh -c 'sleep 8; touch late' & echo on", timeout_ms=60_000)
    assert (item["stdout"], item["outcome"]["type"]) == ("on\n", "exit")
    assert api.process(box, "test", "-e", "late")["outcome"]["exit_code"] == 1, "nobody waited for it"


@pytest.mark.parametrize("program", ["true", "exec 0<&-; exec sleep 0.2", "head -c 3"])
def test_much_input_that_is_not_read(program: str, api: Api, box: str) -> None:
    item = api.process(box, "sh", "-c", program, stdin=encoded(bytes(8 * 2**20)), encoding="base64")
    assert item["outcome"] == {"type": "exit", "exit_code": 0}


def test_input_to_a_program_that_never_reads_ends_with_its_time(api: Api, box: str) -> None:
    item = api.process(box, "sleep", "1000", stdin="x" * (8 * 2**20), timeout_ms=500)
    assert item["outcome"] == {"type": "timeout"}
    assert api.process(box, "echo", "well")["stdout"] == "well\n"


def test_a_flood_is_cut_in_the_middle(api: Api, box: str) -> None:
    whole = b"".join(b"%d\n" % number for number in range(1, 300_001))
    item = api.process(box, "seq", "300000", max_output_bytes=1000)
    assert item["stdout_omitted"] == {"offset": 500, "bytes": len(whole) - 1000}
    assert item["stderr_omitted"] is None
    line = f"[atoll] {len(whole) - 1000} bytes of output are left out here.\n"
    head, _, tail = item["stdout"].partition(line)
    assert whole.decode().startswith(head.rstrip("\n"))
    assert whole.decode().endswith(tail)
    exact = api.process(box, "seq", "300000", max_output_bytes=1000, encoding="base64")
    assert base64.b64decode(exact["stdout"]) == whole[:500] + whole[-500:]
    assert api.process(box, "seq", "3", max_output_bytes=6)["stdout_omitted"] is None
    assert api.process(box, "seq", "3", max_output_bytes=5)["stdout_omitted"] == {"offset": 3, "bytes": 1}
    nothing = api.process(box, "seq", "3", max_output_bytes=0, encoding="base64")
    assert (nothing["stdout"], nothing["stdout_omitted"]) == ("", {"offset": 0, "bytes": 6})


def test_an_endless_flood_ends_with_its_time(api: Api, box: str) -> None:
    item = api.process(box, "yes", timeout_ms=700, max_output_bytes=2000)
    assert item["outcome"] == {"type": "timeout"}
    assert item["stdout_omitted"]["bytes"] > 2000


def test_streamed_as_produced(api: Api, box: str) -> None:
    body: dict[str, Any] = {"argv": ["sh", "-c", "printf a; while [ ! -e go ]; do sleep 0.02; done; printf bcde >&2"]}
    for encoding, text in (("utf-8", lambda text: text), ("base64", lambda text: base64.b64decode(text).decode())):
        with api.streamed(f"/containers/{box}/processes", {**body, "encoding": encoding}) as events:
            begun = next(events)
            assert begun.name == "container.process.started"
            assert begun.data["item"]["status"] == "in_progress"
            first = next(events)
            assert first.name == "container.process.output.delta"
            assert text(first.data["delta"]["stdout"]) == "a"
            api.process(box, "touch", "go")
            *deltas, done = list(events)
        assert "".join(text(event.data["delta"]["stderr"]) for event in deltas) == "bcde"
        assert done.name == "container.process.done"
        assert (text(done.data["item"]["stdout"]), text(done.data["item"]["stderr"])) == ("a", "bcde")
        assert done.data["item"]["id"] == begun.data["item"]["id"]
        api.process(box, "rm", "go")


@pytest.mark.parametrize("stream", [True, False])
def test_the_client_going_away_ends_it(stream: bool, api: Api, box: str) -> None:
    body = {"argv": ["sh", "-c", "echo $$ > pid; exec sleep 60"], "stdin": "x" * 2**20, "stream": stream}

    def is_alive() -> bool:
        look = api.process(box, "sh", "-c", "test -s pid && test -d /proc/$(cat pid)")
        return bool(look["outcome"]["exit_code"] == 0)

    with httpx.Client(trust_env=False, headers={"Authorization": f"Bearer {api.api_key}"}, timeout=5) as client:
        url = f"{api.base_url}/containers/{box}/processes"
        gone = threading.Event()

        def call() -> None:
            try:
                with client.stream("POST", url, json=body, timeout=httpx.Timeout(5, read=4)) as response:
                    pieces = response.iter_raw()  # held: letting go of it hangs up
                    next(pieces)
                    gone.wait(20)
            except httpx.ReadTimeout:
                pass

        thread = threading.Thread(target=call)
        thread.start()
        wait_until(is_alive, what="the program runs")
        gone.set()
        thread.join()
    wait_until(lambda: not is_alive(), what="it ended with its client")


def test_they_run_beside_each_other_and_beside_calls(api: Api, box: str) -> None:
    waiting = "while [ ! -e go ]; do sleep 0.02; done; echo $0"
    found: list[str] = []

    def run(name: str) -> None:
        found.append(api.process(box, "sh", "-c", waiting, name)["stdout"])

    threads = [threading.Thread(target=run, args=(f"p{number}",)) for number in range(5)]
    threads.append(
        threading.Thread(target=lambda: found.append(api.shell(box, "bash -c '" + waiting + "' call")[0]["stdout"]))
    )
    for thread in threads:
        thread.start()
    api.process(box, "touch", "go")
    for thread in threads:
        thread.join()
    assert sorted(found) == ["call\n", *(f"p{number}\n" for number in range(5))]


def test_only_so_many_at_once(make_server: MakeServer) -> None:
    api = make_server("plain", processes_max=2).api()
    box, other = api.create()["id"], api.create()["id"]
    body = {"argv": ["sh", "-c", "echo on; exec sleep 60"]}
    with (
        api.streamed(f"/containers/{box}/processes", body) as first,
        api.streamed(f"/containers/{box}/processes", body) as second,
    ):
        next(first)
        next(second)
        third = api.send("POST", f"/containers/{box}/processes", json={"argv": ["true"]})
        assert third.status_code == 429
        assert third.headers["retry-after"] == "1"
        assert "2 programs" in third.json()["error"]["message"]
        assert api.process(other, "true")["status"] == "completed", "each container has its own bound"
    wait_until(
        lambda: api.send("POST", f"/containers/{box}/processes", json={"argv": ["true"]}).status_code == 200,
        what="room",
    )


def test_an_interrupt_is_for_calls(api: Api, box: str) -> None:
    body = {"argv": ["sh", "-c", "while [ ! -e go ]; do sleep 0.02; done; echo went"]}
    with api.streamed(f"/containers/{box}/processes", body) as events:
        next(events)
        assert api.call("POST", f"/containers/{box}/interrupt")["interrupted"] is False
        api.process(box, "touch", "go")
        *_, done = list(events)
    assert done.data["item"]["stdout"] == "went\n"


def test_a_restart_ends_it(api: Api, box: str) -> None:
    with api.streamed(f"/containers/{box}/processes", {"argv": ["sleep", "60"]}) as events:
        next(events)
        api.call("POST", f"/containers/{box}/restart")
        (done,) = list(events)
    assert done.data["item"]["outcome"] == {"type": "signal", "signal": 9, "name": "SIGKILL"}


def test_the_container_being_deleted_is_told(oci_api: Api) -> None:
    box = oci_api.create()["id"]
    with oci_api.streamed(f"/containers/{box}/processes", {"argv": ["sleep", "60"]}) as events:
        next(events)
        oci_api.delete(box)
        (done,) = list(events)
    item = done.data["item"]
    assert (item["status"], item["outcome"]) == ("failed", {"type": "lost", "cause": "deleted"})
    assert item["notes"] == ["The container was deleted during the call."]


def test_out_of_memory_is_told(container: str, oci_api: Api) -> None:
    eat = "x = []\nwhile True: x.append(bytearray(b'x' * 2**24))"
    item = oci_api.process(container, "python3", "-c", eat)
    assert item["outcome"] == {"type": "signal", "signal": 9, "name": "SIGKILL"}
    assert item["notes"] == ["The program was ended because the container reached its memory limit (1g)."]
    assert oci_api.process(container, "echo", "well")["stdout"] == "well\n"


def test_out_of_processes_is_told(container: str, oci_api: Api) -> None:
    # Not bash, which tries each fork five times, and waits longer from try to try.
    item = oci_api.process(container, "python3", "-c", FORKS)
    assert any("limit of 256 processes" in note for note in item["notes"]), item
    full = oci_api.process(container, "python3", "-c", FORKS)
    assert full["notes"], full
    assert oci_api.process(container, "echo", "well")["stdout"] == "well\n"


def test_a_container_of_somebody_else_or_none(oci_api: Api) -> None:
    for container_id in ("cntr_" + "0" * 48, "nonsense"):
        response = oci_api.send("POST", f"/containers/{container_id}/processes", json={"argv": ["true"]})
        assert response.status_code == 404
