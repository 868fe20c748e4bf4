"""Limits at which code ends, and nothing else: the container runs on, its files are kept, the next call works."""

from collections.abc import Iterator

import pytest

from tests.harness.api import Api, logs_of
from tests.harness.poll import wait_until

OUTPUT_BYTES_MAX = 10 << 20
PROCESSES_LIMIT = "[atoll] The container reached its limit of 256 processes and threads"


@pytest.fixture
def box(container: str, oci_api: Api) -> Iterator[str]:
    """Give a container, and afterwards look whether it is as good as before."""
    oci_api.upload(container, "kept.txt", b"kept")
    yield container
    assert oci_api.retrieve(container)["status"] == "running"
    written = oci_api.logs(container, "print(open('/mnt/data/kept.txt').read(), 6 * 7)")
    assert "kept 42\n" in written
    assert written == "kept 42\n" or written.startswith("[atoll] "), "all that may be said besides is what was lost"
    assert oci_api.shell(container, "echo fine")[0]["stdout"] == "fine\n"


def test_memory_in_python(box: str, oci_api: Api) -> None:
    call = oci_api.python(box, "print('filling')\nx = b'x' * (3 << 30)", timeout_ms=60_000)
    written = logs_of(call)
    assert call["status"] == "failed", call
    assert written.startswith("filling\n")
    assert "memory limit (1g)" in written


def test_memory_in_a_child_of_python(box: str, oci_api: Api) -> None:
    oci_api.logs(box, "parent = 1")
    code = "import subprocess\nsubprocess.run(['python3', '-c', 'x = b\"x\" * (3 << 30)']).returncode"
    call = oci_api.python(box, code, timeout_ms=60_000)
    assert call["status"] == "failed" or "-9" in logs_of(call), call


def test_memory_in_shell(box: str, oci_api: Api) -> None:
    (output,) = oci_api.shell(box, "echo filling; exec python3 -c 'x = b\"x\" * (3 << 30)'", timeout_ms=60_000)
    assert output["outcome"] == {"type": "exit", "exit_code": 137}
    assert output["stdout"] == "filling\n"
    assert "memory limit (1g)" in output["stderr"]


def test_memory_in_dev_shm(box: str, oci_api: Api) -> None:
    (output,) = oci_api.shell(box, "head -c 3G /dev/zero > /dev/shm/big; rm -f /dev/shm/big", timeout_ms=60_000)
    assert "No space left" in output["stderr"] or "memory" in output["stderr"].lower(), output


def test_fork_bomb_in_shell(box: str, oci_api: Api) -> None:
    (output,) = oci_api.shell(box, "while true; do sleep 100 & done", timeout_ms=5_000)
    assert "Resource temporarily unavailable" in output["stderr"], output
    assert PROCESSES_LIMIT in output["stderr"]


def test_fork_bomb_in_the_background(box: str, oci_api: Api) -> None:
    """The call that sets it off may be over when it bites; that one or a later one says so, and all work."""
    (output,) = oci_api.shell(box, "bomb() { bomb | bomb & }; bomb")
    assert output["outcome"]["exit_code"] in (0, 254)  # bash's own, when it is the one that cannot fork
    said = output["stderr"]

    def is_said() -> bool:
        nonlocal said
        call = oci_api.python(box, "print(6 * 7)")
        assert call["status"] == "completed"
        assert "42\n" in logs_of(call)
        said += logs_of(call)
        return PROCESSES_LIMIT in said

    wait_until(is_said, what="a word about the limit of processes")
    oci_api.send("POST", f"/containers/{box}/restart").raise_for_status()
    # The bomb met the limit until it was ended, which may be said after the first output since.
    assert "quiet" in oci_api.logs(box, "print('quiet')").splitlines()
    assert oci_api.logs(box, "print('quiet')") == "quiet\n", "the limit is named once, and nothing is left of the bomb"


def test_what_is_left_running_is_named_when_it_fills_the_container(box: str, oci_api: Api) -> None:
    """Nothing fails in the first call, everything in the second, because of the first."""
    (first,) = oci_api.shell(box, "for _ in $(seq 200); do sleep 1000 <&- >&- 2>&- & done")
    assert first["stderr"] == ""
    # Not bash: it would try again for fifteen seconds.
    (second,) = oci_api.shell(box, "sh -c 'for _ in $(seq 100); do sleep 1000 <&- >&- & done' 2>/dev/null")
    assert PROCESSES_LIMIT in second["stderr"]
    assert "A restart of the container ends them all" in second["stderr"]
    oci_api.send("POST", f"/containers/{box}/restart").raise_for_status()
    assert oci_api.logs(box, "print('quiet')") == "quiet\n"


def test_files_of_a_container_full_of_processes(box: str, oci_api: Api) -> None:
    """Reading one needs a process, too; nobody's are ended for that, so the answer says what would help."""
    kept = oci_api.file_at(box, "/mnt/data/kept.txt")["id"]
    fill = "import subprocess\ntry:\n    while True: subprocess.Popen(['sleep', '1000'])\nexcept OSError: pass"
    oci_api.logs(box, fill, timeout_ms=30_000)
    refused = oci_api.send("GET", f"/containers/{box}/files/{kept}/content")
    assert refused.status_code == 429, refused.text
    assert "restart" in refused.json()["error"]["message"]
    oci_api.send("POST", f"/containers/{box}/restart").raise_for_status()
    assert oci_api.content(box, kept) == b"kept"
    assert PROCESSES_LIMIT in oci_api.logs(box, "print(1)"), "the download was one that could not be started"


def test_fork_bomb_in_python(box: str, oci_api: Api) -> None:
    # Long enough to come to the limit on a busy machine: each fork copies a Python with everything imported.
    code = (
        "import os\nprint('bomb', flush=True)\n"
        "while True:\n    try: os.fork()\n    except OSError as error: last = error"
    )
    call = oci_api.python(box, code, timeout_ms=6_000)
    assert call["status"] in ("incomplete", "failed"), call
    assert "bomb" in logs_of(call)
    assert PROCESSES_LIMIT in logs_of(call)


def test_threads(box: str, oci_api: Api) -> None:
    code = (
        "import threading\nstop = threading.Event()\nthreads = []\n"
        "try:\n    while True:\n        t = threading.Thread(target=stop.wait); t.start(); threads.append(t)\n"
        "except RuntimeError as error: print(error)\nfinally: stop.set(); [t.join() for t in threads]"
    )
    written = logs_of(oci_api.python(box, code, timeout_ms=30_000))
    assert "can't start new thread" in written
    assert PROCESSES_LIMIT in written


def test_open_files(box: str, oci_api: Api) -> None:
    code = (
        "held = []\ntry:\n    while True: held.append(open('/dev/null'))\n"
        "except OSError as error: print(error)\nheld.clear()"
    )
    assert "Too many open files" in oci_api.logs(box, code)


def test_full_disk(box: str, oci_api: Api) -> None:
    (output,) = oci_api.shell(box, "head -c 300M /dev/zero > full", timeout_ms=60_000)
    assert "No space left on device" in output["stderr"]
    response = oci_api.send("POST", f"/containers/{box}/files", files={"file": ("kept.txt", b"n" * 5_000_000)})
    assert 400 <= response.status_code < 600
    assert "full" in response.json()["error"]["message"].lower(), response.text
    assert oci_api.content(box, oci_api.file_at(box, "/mnt/data/kept.txt")["id"]) == b"kept"
    assert oci_api.logs(box, "print('Python runs on a full disk')") == "Python runs on a full disk\n"
    oci_api.call("DELETE", f"/containers/{box}/files/{oci_api.file_at(box, '/mnt/data/full')['id']}")
    oci_api.upload(box, "room.txt", b"room again")


@pytest.mark.parametrize("place", ["/home/sandbox", "/tmp", "/var/tmp"])
def test_full_disk_elsewhere(place: str, box: str, oci_api: Api) -> None:
    (output,) = oci_api.shell(box, f"head -c 2G /dev/zero > {place}/full; rm {place}/full", timeout_ms=60_000)
    assert "No space left on device" in output["stderr"] or "memory" in output["stderr"], output


def test_no_inodes_left(box: str, oci_api: Api) -> None:
    code = (
        "import os\nos.mkdir('many')\ntry:\n    for n in range(1_000_000): os.close(os.open(f'many/{n}', os.O_CREAT))\n"
        "except OSError as error: print(error.strerror)\n"
    )
    assert "No space left on device" in logs_of(oci_api.python(box, code, timeout_ms=60_000))
    assert oci_api.call("GET", f"/containers/{box}/files")["has_more"]
    assert oci_api.shell(box, "rm -r many", timeout_ms=60_000)[0]["outcome"]["exit_code"] == 0
    assert len(oci_api.files(box)) == 1


def test_flood_of_output_in_python(box: str, oci_api: Api) -> None:
    call = oci_api.python(box, "print('begin')\nfor _ in range(30_000): print('x' * 1023)\nprint('end')")
    written = logs_of(call)
    assert call["status"] == "completed"
    assert OUTPUT_BYTES_MAX * 0.9 < len(written) < OUTPUT_BYTES_MAX + 1000
    assert written.startswith("begin\n")
    assert written.endswith("end\n")
    assert any("x" * 1023 not in line and len(line) > 10 for line in written.splitlines()[1:-1]), "no word of the cut"


def test_flood_of_output_in_shell(box: str, oci_api: Api) -> None:
    (output,) = oci_api.shell(box, "echo begin; yes | head -c 30M; echo end")
    assert len(output["stdout"]) < OUTPUT_BYTES_MAX + 1000
    assert output["stdout"].startswith("begin\n")
    assert output["stdout"].endswith("end\n")
    assert output["outcome"] == {"type": "exit", "exit_code": 0}


def test_endless_flood_is_ended_by_time(box: str, oci_api: Api) -> None:
    call = oci_api.python(box, "while True: print('y' * 1000)", timeout_ms=1_000)
    assert call["status"] in ("incomplete", "failed")
    assert len(logs_of(call)) < OUTPUT_BYTES_MAX + 1000


def test_kill_everything_in_shell(box: str, oci_api: Api) -> None:
    oci_api.logs(box, "x = 1")
    output = oci_api.shell(box, "sleep 1000 & echo before; kill -9 -1; echo spared", "pgrep sleep || echo after")
    assert output[0]["stdout"] == "before\nspared\n", "the kernel spares the one who asks"
    assert output[1]["stdout"] == "after\n"


@pytest.mark.parametrize(
    "code",
    [
        "import os\nos.kill(os.getpid(), 9)",
        "import os\nos._exit(3)",
        "import os\nos.abort()",
        "import ctypes\nctypes.string_at(0)",
        "import os\nos.closerange(0, 1000)",
    ],
)
def test_python_that_ends_itself(code: str, box: str, oci_api: Api) -> None:
    call = oci_api.python(box, "print('before', flush=True)\n" + code, timeout_ms=10_000)
    assert call["status"] == "failed", call
    written = logs_of(call)
    assert written.startswith("before\n")
    assert "Python" in written, "the output says what happened"


@pytest.mark.parametrize("target", ["os.getppid()", "1", "-1", "0"])
def test_the_agent_is_out_of_reach(target: str, box: str, oci_api: Api) -> None:
    call = oci_api.python(box, f"import os\nprint('before', flush=True)\nos.kill({target}, 9)")
    assert call["status"] in ("completed", "failed")
    assert logs_of(call).startswith("before\n")


def test_a_stopped_python_is_ended(box: str, oci_api: Api) -> None:
    call = oci_api.python(box, "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", timeout_ms=700)
    assert call["status"] in ("incomplete", "failed"), call


def test_cpu_is_left_for_others(box: str, oci_api: Api) -> None:
    body = {
        "commands": ["for n in 1 2 3 4 5 6 7 8; do (while :; do :; done) & done; echo busy; wait"],
        "timeout_ms": 3_000,
    }
    with oci_api.streamed(f"/containers/{box}/shell_calls", body) as events:
        next(event for event in events if event.name.endswith(".delta"))
        other = oci_api.create("bystander")["id"]
        assert oci_api.logs(other, "1 + 1")
        oci_api.delete(other)
