"""What Python code may expect of a container: IPython, state that lives on, and output that tells all."""

import base64
import time
from collections.abc import Iterator

import pytest

from atoll.guest.rehearsal import SCENES
from tests.harness.api import Api, logs_of

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def box(oci_api: Api) -> Iterator[str]:
    """Give one container for all tests of this module that do not break it."""
    container_id = oci_api.create("python")["id"]
    yield container_id
    oci_api.delete(container_id)


def test_state_lives_on(box: str, oci_api: Api) -> None:
    oci_api.logs(box, "import math\nradius = 2\ndef area(): return math.pi * radius**2")
    assert oci_api.logs(box, "round(area(), 2)").endswith("12.57\n")


def test_output_is_in_order(box: str, oci_api: Api) -> None:
    code = (
        "import sys, os\nprint('one')\nsys.stderr.write('two\\n')\nprint('three')\n"
        "os.system('echo four')\nos.write(2, b'five\\n')\n'six'"
    )
    written = oci_api.logs(box, code)
    places = [written.index(word) for word in ("one", "two", "three", "four", "five", "six")]
    assert places == sorted(places), written


def test_traceback_is_output_without_colours(box: str, oci_api: Api) -> None:
    call = oci_api.python(box, "print('before')\ndef broken(): return 1 / 0\nbroken()")
    assert call["status"] == "completed"
    written = logs_of(call)
    assert written.startswith("before\n")
    assert "ZeroDivisionError: division by zero" in written
    assert "broken" in written
    assert "\x1b" not in written


def test_syntax_error_is_output(box: str, oci_api: Api) -> None:
    assert "SyntaxError" in oci_api.logs(box, "def (:")


def test_exit_is_not_the_end(box: str, oci_api: Api) -> None:
    oci_api.logs(box, "kept_over_exit = 5")
    assert oci_api.python(box, "import sys\nsys.exit(3)")["status"] == "completed"
    assert "5" in oci_api.logs(box, "kept_over_exit")


def test_figure_is_image_and_file(box: str, oci_api: Api) -> None:
    call = oci_api.python(box, "import matplotlib.pyplot as plt\nplt.plot([1, 4, 2])\nplt.show()", timeout_ms=60_000)
    images = [output for output in call["outputs"] if output["type"] == "image"]
    assert len(images) == 1, call
    media_type, _, data = images[0]["url"].partition(";base64,")
    assert media_type == "data:image/png"
    picture = base64.b64decode(data)
    assert picture.startswith(PNG_SIGNATURE)
    pngs = [file for file in call["files"] if file["path"].endswith(".png")]
    assert len(pngs) == 1, call["files"]
    assert pngs[0]["source"] == "assistant"
    assert oci_api.content(box, pngs[0]["id"]) == picture
    assert pngs[0]["id"] in [file["id"] for file in oci_api.files(box)]


def test_displayed_image(box: str, oci_api: Api) -> None:
    code = (
        "from PIL import Image\nfrom IPython.display import display\ndisplay(Image.new('RGB', (2, 2)))\nprint('after')"
    )
    kinds = [output["type"] for output in oci_api.python(box, code)["outputs"]]
    assert "image" in kinds
    assert kinds.index("image") < len(kinds) - 1, "what was printed after it comes after it"


def test_input_fails_at_once(box: str, oci_api: Api) -> None:
    before = time.monotonic()
    written = oci_api.logs(box, "name = input('Your name? ')")
    assert time.monotonic() - before < 10
    assert "input" in written
    assert "Error" in written


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import asyncio\nawait asyncio.sleep(0)\nprint('awaited')", "awaited"),
        ("!echo from $((20 + 3)) shell", "from 23 shell"),
        ("listed = !printf 'a\\nb\\n'\nlist(listed)", "['a', 'b']"),
        ("%time 1 + 1", "Wall time"),
        ('%%bash\necho "bash $BASH_VERSION"', "bash 5"),
        ("%cd /tmp\n%cd /mnt/data\n%pwd", "/tmp\n/mnt/data\n'/mnt/data'\n"),
        ("import os; print(os.getcwd(), os.getuid(), os.path.expanduser('~'))", "/mnt/data 1000 /home/sandbox"),
        ("import sys; sys.stdin.read()", "''"),
        ("x = 5;\nx", "5"),
        ("print('\\ud800'.encode('utf-8', 'surrogatepass'))", "\\xed\\xa0\\x80"),
        ("import sys; sys.stdout.buffer.write(b'\\xff\\xfe raw\\n'); None", "raw"),
        (
            (
                "from concurrent.futures import ThreadPoolExecutor as Pool\n"
                "with Pool(8) as pool: print(sum(pool.map(len, ['a' * n for n in range(20)])))"
            ),
            "190",
        ),
        (
            (
                "import threading\nthread = threading.Thread(target=lambda: print('from a thread'))\n"
                "thread.start(); thread.join()"
            ),
            "from a thread",
        ),
        (
            "import multiprocessing\nwith multiprocessing.Pool(2) as pool: print(pool.map(abs, [-1, -2, -3]))",
            "[1, 2, 3]",
        ),
        ("import subprocess; subprocess.run(['id', '-un'], capture_output=True, text=True).stdout", "sandbox"),
        ("import tempfile; tempfile.TemporaryFile().write(b'x')", "1"),
        ("import numpy, pandas, scipy, sklearn, sympy, openpyxl, requests\nprint('all there')", "all there"),
    ],
)
def test_idioms(code: str, expected: str, box: str, oci_api: Api) -> None:
    assert expected in oci_api.logs(box, code)


@pytest.mark.parametrize("module", SCENES)
def test_what_a_zygote_rehearses_works_on_the_image(module: str, box: str, oci_api: Api) -> None:
    """There, a scene that fails is passed over."""
    assert oci_api.logs(box, f"shown = []\nshow = shown.append\n{SCENES[module]}\nlen(shown) > 2") == "True\n"


def test_pip_fails_clearly(box: str, oci_api: Api) -> None:
    before = time.monotonic()
    written = oci_api.logs(box, "!pip install left-pad-of-nobody", timeout_ms=60_000)
    assert time.monotonic() - before < 30
    assert "network" in written.lower() or "No matching distribution" in written, written


def test_network_fails_clearly(box: str, oci_api: Api) -> None:
    code = (
        "import socket, time\nbefore = time.monotonic()\n"
        "try: socket.create_connection(('192.0.2.1', 80), timeout=5)\n"
        "except OSError as error: print(error.strerror, time.monotonic() - before < 1)"
    )
    assert oci_api.logs(box, code).startswith("Network is unreachable True\n"), "no route means no waiting"


def test_time_out_interrupts_and_keeps_what_was_printed(box: str, oci_api: Api) -> None:
    oci_api.logs(box, "kept_over_interrupt = 7")
    call = oci_api.python(box, "print('printed')\nwhile True: pass", timeout_ms=700)
    assert call["status"] == "incomplete"
    assert logs_of(call).startswith("printed\n")
    assert "7" in oci_api.logs(box, "kept_over_interrupt"), "an interrupt keeps variables"


def test_time_out_kills_what_cannot_be_interrupted(container: str, oci_api: Api) -> None:
    code = (
        "import signal\nopen('kept.txt', 'w').write('kept')\nprint('deaf', flush=True)\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass"
    )
    call = oci_api.python(container, code, timeout_ms=700)
    assert call["status"] in ("incomplete", "failed"), call
    assert "deaf" in logs_of(call)
    assert oci_api.logs(container, "print(open('kept.txt').read())") == "kept\n"


def test_interrupt_from_outside(container: str, oci_api: Api) -> None:
    oci_api.logs(container, "survivor = 'still here'")
    body = {"code": "print('running', flush=True)\nwhile True: pass"}
    with oci_api.streamed(f"/containers/{container}/code_interpreter_calls", body) as events:
        next(event for event in events if event.name.endswith("_logs.delta"))
        oci_api.call("POST", f"/containers/{container}/interrupt")
        last = list(events)[-1].data
    assert last["item"]["status"] == "incomplete"
    assert "KeyboardInterrupt" in logs_of(last["item"])
    assert "still here" in oci_api.logs(container, "survivor")


def test_restart_ends_every_process_and_keeps_files(container: str, oci_api: Api) -> None:
    oci_api.logs(container, "gone = 1\nopen('kept.txt', 'w').write('kept')")
    oci_api.shell(container, "nohup sleep 1000 > /dev/null 2>&1 &")
    oci_api.call("POST", f"/containers/{container}/restart")
    assert "NameError" in oci_api.logs(container, "gone")
    (output,) = oci_api.shell(container, "cat kept.txt; pgrep sleep || echo none left")
    assert output["stdout"] == "keptnone left\n"


def test_files_of_a_call(box: str, oci_api: Api) -> None:
    oci_api.logs(
        box, "import os\nos.makedirs('files of a call', exist_ok=True)\nopen('files of a call/old', 'w').close()"
    )
    code = "open('files of a call/new', 'w').write('1')\nopen('files of a call/old', 'a').write('2')"
    paths = sorted(file["path"] for file in oci_api.python(box, code)["files"])
    assert paths == ["/mnt/data/files of a call/new", "/mnt/data/files of a call/old"]
    assert oci_api.python(box, "1 + 1")["files"] == []


@pytest.mark.parametrize("body", [{"code": 1}, {}, {"code": "1", "timeout_ms": 0}, {"code": "1", "colour": 2}])
def test_refused(body: dict[str, object], box: str, oci_api: Api) -> None:
    response = oci_api.send("POST", f"/containers/{box}/code_interpreter_calls", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] in {"code", "timeout_ms", "colour"}


def test_code_at_its_limit_and_one_past_it(box: str, oci_api: Api) -> None:
    limit = 1 << 20
    code = "print('long')\n#"
    code += "x" * (limit - len(code))
    assert oci_api.logs(box, code) == "long\n"
    response = oci_api.send("POST", f"/containers/{box}/code_interpreter_calls", json={"code": code + "x"})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "code"
