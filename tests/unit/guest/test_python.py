"""Python calls: state, order of output, images, interrupts, deaths."""

import os
import signal
from pathlib import Path

import pytest

from atoll.guest.protocol import FrameType, decode_image
from tests.harness.poll import wait_until
from tests.unit.guest.agent_process import Agent
from tests.unit.guest.conftest import StartAgent

SLOW = "import time\nprint('ready', flush=True)\ntime.sleep(60)"


def test_values_variables_and_the_working_directory_live_on(shared_agent: Agent) -> None:
    assert shared_agent.python("x = 6\nimport os, math\nos.chdir('/tmp')").stdout == ""
    assert shared_agent.python("print('x is', x)\nmath.floor(x * 7)\nos.getcwd()").stdout == "x is 6\n'/tmp'\n"
    assert shared_agent.python(f"os.chdir({str(shared_agent.data_dir)!r})").outcome == "ok"


def test_stdout_stderr_and_subprocesses_keep_their_order(shared_agent: Agent) -> None:
    code = """
import os, subprocess, sys
print('a', end='')
print('b', end='', file=sys.stderr)
print('c', end='')
os.system('echo d')
print('e', end='')
subprocess.run(['echo', 'f'])
!echo g >&2
print('h')
"""
    assert shared_agent.python(code).stdout == "abcd\nef\ng\nh\n"


def test_a_traceback_is_output_without_colours(shared_agent: Agent) -> None:
    answer = shared_agent.python("print(1)\n1/0")
    assert answer.outcome == "error"
    assert answer.stdout.startswith("1\n---")
    assert "ZeroDivisionError: division by zero" in answer.stdout
    assert "\x1b" not in answer.stdout


def test_a_syntax_error_is_an_error(shared_agent: Agent) -> None:
    answer = shared_agent.python("def :")
    assert answer.outcome == "error"
    assert "SyntaxError" in answer.stdout


@pytest.mark.parametrize("code", ["input('name? ')", "import getpass; getpass.getpass()"])
def test_input_fails_at_once_and_says_why(shared_agent: Agent, code: str) -> None:
    answer = shared_agent.python(code)
    assert answer.outcome == "error"
    assert "nobody is at a container's keyboard" in answer.stdout
    assert "kernel.py" not in answer.stdout


def test_stdin_is_empty(shared_agent: Agent) -> None:
    assert shared_agent.python("!cat; echo done").stdout == "done\n"


def test_a_debugger_does_not_hang(shared_agent: Agent) -> None:
    assert "ready" not in shared_agent.python("breakpoint()\nprint('on')").stdout
    assert shared_agent.python("print('next')").stdout == "next\n"


def test_top_level_await_works(shared_agent: Agent) -> None:
    assert shared_agent.python("import asyncio\nawait asyncio.sleep(0)\nprint('awaited')").stdout == "awaited\n"
    assert shared_agent.python("asyncio.run(asyncio.sleep(0, 'run'))").stdout == "'run'\n"


def test_magics_and_shell_cells_work(shared_agent: Agent) -> None:
    assert shared_agent.python("%%bash\necho out\necho err >&2").stdout == "out\nerr\n"
    assert shared_agent.python("names = !echo one\nnames[0]").stdout == "'one'\n"
    assert "per loop" in shared_agent.python("%timeit -n1 -r1 pass").stdout


def test_threads_and_processes_work(shared_agent: Agent) -> None:
    code = """
import math, multiprocessing, threading
thread = threading.Thread(target=print, args=('thread',)); thread.start(); thread.join()
with multiprocessing.get_context('fork').Pool(2) as pool: print(pool.map(lambda_free := math.factorial, [3, 4]))
with multiprocessing.get_context('spawn').Pool(1) as pool: print(pool.map(math.factorial, [5]))
"""
    assert shared_agent.python(code).stdout == "thread\n[6, 24]\n[120]\n"


def test_a_fork_that_falls_off_the_end_does_not_answer_for_its_parent(agent: Agent) -> None:
    # A fresh one: where somebody's numpy has started its threads, Python 3.12 and newer warn of forks.
    code = "import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\nprint('parent' if pid else 'child')"
    assert agent.python(code).stdout == "child\nparent\n"
    assert agent.python("pid > 0").stdout == "True\n"


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("exit()", "ok"),
        ("quit", "ok"),
        ("import sys; sys.exit(0)", "ok"),
        ("exit(3)", "error"),
        ("raise SystemExit('bye')", "error"),
    ],
)
def test_exit_ends_the_call_and_not_python(shared_agent: Agent, code: str, outcome: str) -> None:
    shared_agent.python("kept = 1")
    answer = shared_agent.python(code)
    assert answer.outcome == outcome
    assert "[atoll] The code asked to exit" in answer.stdout
    assert shared_agent.python("kept").stdout == "1\n"


def test_modules_in_the_data_folder_can_be_imported_and_leave_no_cache(agent: Agent) -> None:
    agent.put("mine.py", b"value = 5")
    agent.put("json.py", b"raise RuntimeError('shadowed')")
    assert agent.python("import mine; mine.value").stdout == "5\n"
    assert set(agent.files()) == {"mine.py", "json.py"}


def test_figures_are_images_in_their_place_and_files(agent: Agent) -> None:
    (agent.data_dir / "figure-1.png").write_bytes(b"mine")
    code = """
import matplotlib.pyplot as plt
print('before')
plt.plot([1, 2]); plt.show()
print('after')
plt.plot([3]);
"""
    answer = agent.python(code)
    kinds = [kind for kind, _ in answer.frames]
    assert kinds == [FrameType.STDOUT, FrameType.IMAGE, FrameType.STDOUT, FrameType.IMAGE, FrameType.RESULT]
    media_type, data = decode_image(answer.all(FrameType.IMAGE)[0])
    assert media_type == "image/png"
    assert bytes(data).startswith(b"\x89PNG")
    assert answer.file_names == {"figure-2.png", "figure-3.png"}
    assert (agent.data_dir / "figure-1.png").read_bytes() == b"mine"
    assert (agent.data_dir / "figure-2.png").read_bytes() == data


def test_displayed_images_and_other_rich_values(shared_agent: Agent) -> None:
    png = "import base64; from IPython.display import *\npng = b'\\x89PNG\\r\\n\\x1a\\n'\n"
    answer = shared_agent.python(png + "display(Image(data=png, format='png'))\nImage(data=png, format='png')")
    assert len(answer.all(FrameType.IMAGE)) == 2
    assert answer.stdout == ""
    assert shared_agent.python("display(HTML('<b>x</b>'))").stdout == "<IPython.core.display.HTML object>\n"
    assert shared_agent.python("Markdown('**x**')").stdout == "**x**\n"
    shared_agent.shell("rm -f figure-*")


def test_html_is_shown_where_it_is_asked_for_and_only_there(shared_agent: Agent) -> None:
    code = (
        "class T:\n def _repr_html_(self): return '<b>\\u00e9</b>'\n def __repr__(self): return 'plain'\nprint(1)\nT()"
    )
    answer = shared_agent.python(code, html=True)
    assert [kind for kind, _ in answer.frames] == [FrameType.STDOUT, FrameType.IMAGE, FrameType.RESULT]
    media_type, data = decode_image(answer.all(FrameType.IMAGE)[0])
    assert (media_type, bytes(data)) == ("text/html", "<b>é</b>".encode())
    assert answer.stdout == "1\n"
    assert shared_agent.python(code).stdout == "1\nplain\n"
    assert shared_agent.python("1", html=True).stdout == "1\n"
    large = shared_agent.python("T._repr_html_ = lambda _: '<' * (17 << 20)\nT()", html=True)
    assert large.stdout == "plain\n"


def test_old_values_are_forgotten_without_a_word(agent: Agent) -> None:
    agent.python("get_ipython().displayhook.cache_size = 2")
    assert [agent.python(f"{n} * 7").stdout for n in range(5)] == ["0\n", "7\n", "14\n", "21\n", "28\n"]
    assert agent.python("len(Out) < 4").stdout == "True\n"


def test_images_over_their_number_are_counted(shared_agent: Agent) -> None:
    code = "from IPython.display import Image\nfor _ in range(3): display(Image(data=b'\\x89PNG', format='png'))"
    answer = shared_agent.python(code, images_max=1)
    assert len(answer.all(FrameType.IMAGE)) == 1
    assert answer.result["images_omitted"] == 2
    shared_agent.shell("rm -f figure-*")


def test_output_over_its_limit_is_cut_in_the_middle(shared_agent: Agent) -> None:
    answer = shared_agent.python("print('a' * 1000 + 'b' * 5000 + 'c' * 999)", output_bytes_max=2000)
    assert answer.result["omitted_bytes"] == 5000
    assert answer.stdout == "a" * 1000 + "\n[atoll] 5000 bytes of output are left out here.\n" + "c" * 999 + "\n"


def test_a_call_over_its_time_is_interrupted_and_keeps_output_and_variables(shared_agent: Agent) -> None:
    answer = shared_agent.python("y = 3\nprint('so far', flush=True)\nimport time; time.sleep(60)", timeout_ms=1000)
    assert answer.outcome == "timeout"
    assert answer.stdout.startswith("so far\n")
    assert "KeyboardInterrupt" in answer.stdout
    assert answer.stdout.endswith("[atoll] The call reached its time limit and was stopped.\n")
    assert shared_agent.python("y").stdout == "3\n"


def test_an_interrupted_await_is_cancelled(shared_agent: Agent) -> None:
    code = """
import asyncio
try:
    await asyncio.sleep(60)
except asyncio.CancelledError:
    print('cancelled')
    raise
"""
    answer = shared_agent.python(code, timeout_ms=1000)
    assert answer.outcome == "timeout"
    assert "cancelled" in answer.stdout
    assert shared_agent.python("await asyncio.sleep(0, 'on')").stdout == "'on'\n"


def test_an_interrupt_also_stops_subprocesses(shared_agent: Agent) -> None:
    call = shared_agent.begin_python("!echo started; sleep 60")
    call.read_until("started")
    assert shared_agent.call(op="interrupt").answer().result == {"interrupted": True}
    assert call.answer().outcome == "interrupted"


def test_code_that_refuses_to_stop_is_killed(agent: Agent) -> None:
    # Known beforehand, so that no interrupt comes before it can be refused, as slow as the machine may be.
    agent.python(
        "import time\ndef refuse():\n  while True:\n    try: time.sleep(60)\n    except KeyboardInterrupt: pass"
    )
    answer = agent.python("refuse()", timeout_ms=1000)
    assert answer.outcome == "timeout"
    assert "Python did not stop and was ended" in answer.stdout
    assert agent.python("1 + 1").stdout == "2\n"


def test_nothing_to_interrupt(shared_agent: Agent) -> None:
    assert shared_agent.call(op="interrupt").answer().result == {"interrupted": False}


def test_hanging_up_interrupts_and_the_next_call_works(shared_agent: Agent) -> None:
    shared_agent.python("stopped = False")
    call = shared_agent.begin_python(f"try:\n    {SLOW.replace(chr(10), chr(10) + '    ')}\nfinally: stopped = True")
    call.read_until("ready")
    call.close()
    assert shared_agent.python("stopped").stdout == "True\n"


def test_calls_wait_for_each_other_and_one_that_hangs_up_while_waiting_never_runs(shared_agent: Agent) -> None:
    first = shared_agent.begin_python(SLOW)
    first.read_until("ready")
    second = shared_agent.begin_python("ran = 'second'")
    third = shared_agent.begin_python("'ran' in globals()")
    second.close()
    shared_agent.call(op="interrupt").answer()
    assert first.answer().outcome == "interrupted"
    assert third.answer().stdout == "False\n"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import os; os._exit(7)", {"type": "died", "signal": None, "exit_code": 7}),
        ("import os; os.kill(os.getpid(), 9)", {"type": "died", "signal": 9, "exit_code": None}),
        ("import ctypes; ctypes.string_at(0)", {"type": "died", "signal": signal.SIGSEGV, "exit_code": None}),
    ],
)
def test_a_python_that_dies_says_so_and_the_next_call_has_a_fresh_one(
    agent: Agent, code: str, expected: dict[str, object]
) -> None:
    answer = agent.python(f"gone = 1\nprint('before', flush=True)\n{code}")
    assert answer.result["outcome"] == expected
    assert answer.stdout.startswith("before\n")
    assert "Variables are lost; files in /mnt/data are kept." in answer.stdout
    assert agent.python("'gone' in globals()").stdout == "False\n"


def test_a_death_between_calls_is_told_by_the_next(agent: Agent) -> None:
    pid = int(agent.python("import os; os.getpid()").stdout)
    os.kill(pid, signal.SIGKILL)
    agent.shell("true")
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="Python is gone")
    answer = agent.python("print('fresh')")
    assert answer.stdout.startswith("[atoll] Python was ended by signal 9 (SIGKILL) between two calls.")
    assert answer.stdout.endswith("fresh\n")


def test_output_between_calls_stands_in_front_of_the_next(agent: Agent) -> None:
    code = """
import os, threading, time
def late():
    while not os.path.exists('go'): time.sleep(0.005)
    print('late')
    open('done', 'w').close()
threading.Thread(target=late).start()
print('early')
"""
    assert agent.python(code).stdout == "early\n"
    (agent.data_dir / "go").touch()
    wait_until((agent.data_dir / "done").exists, what="the thread has printed")
    assert agent.python("print('now')").stdout == "late\nnow\n"


def test_a_flood_between_calls_is_drained_and_bounded(agent: Agent) -> None:
    code = """
import threading
def flood():
    for count in range(5000): print('x' * 99)
    open('done', 'w').close()
threading.Thread(target=flood).start()
"""
    agent.python(code)
    wait_until((agent.data_dir / "done").exists, what="the flood went on without a call")
    answer = agent.python("print('now')")
    assert answer.stdout.endswith("now\n")
    assert len(answer.stdout) < 70_000


def test_a_flood_is_bounded_in_the_agents_memory(agent: Agent) -> None:
    answer = agent.python(
        "import os\nblock = b'y\\n' * 32768\nfor _ in range(3000): os.write(1, block)", output_bytes_max=10_000
    )
    assert answer.result["omitted_bytes"] == 3000 * 65536 - 10_000
    status = Path(f"/proc/{agent.process.pid}/status").read_text()
    (peak,) = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
    assert peak < 64 * 1024


def test_a_host_that_does_not_read_holds_the_output_back(agent: Agent) -> None:
    call = agent.begin_python(
        "import os\nfor n in range(3000): os.write(1, b'x' * 65536)", output_bytes_max=64_000_000, timeout_ms=1500
    )
    kind, payload = call.frame() or (None, b"")
    assert kind is FrameType.STDOUT
    assert payload
    assert agent.is_well()  # meanwhile others are served
    answer = call.answer()
    assert answer.outcome == "timeout" or answer.result["omitted_bytes"] > 0


def test_background_processes_of_a_dead_python_do_not_hold_the_call(agent: Agent) -> None:
    code = "import subprocess, os\nsubprocess.Popen(['sleep', '60'], start_new_session=True)\nos._exit(0)"
    assert agent.python(code).outcome == "died"


def test_a_background_process_outlives_python_and_may_go_on_writing(agent: Agent) -> None:
    code = """
import os, subprocess
writer = 'until test -e go; do sleep 0.01; done; for i in 1 2 3; do echo late; done; touch wrote'
subprocess.Popen(['bash', '-c', writer], start_new_session=True)
os._exit(0)
"""
    assert agent.python(code).outcome == "died"
    (agent.data_dir / "go").touch()
    wait_until((agent.data_dir / "wrote").exists, what="it wrote and was not ended by it")


def test_writing_to_the_control_channel_ends_python_and_nothing_else(agent: Agent) -> None:
    code = """
import os, time
for fd in range(3, 200):
    try: os.write(fd, b'garbage' * 9)
    except OSError: pass
time.sleep(60)
"""
    assert agent.python(code).outcome == "died"
    assert agent.python("1").stdout == "1\n"


def test_images_forged_without_reading_their_receipts_do_not_hold_the_agent(agent: Agent) -> None:
    code = """
import os
control = [fd for fd in range(3, 200) if os.path.lexists(f'/proc/self/fd/{fd}')
           and os.readlink(f'/proc/self/fd/{fd}').startswith('socket:')][0]
frames = b'\\x12\\0\\0\\0\\x0bimage/png\\0a' * 100_000
while frames:
    frames = frames[os.write(control, frames):]
"""
    answer = agent.python(code, images_max=1)
    assert answer.outcome == "ok"
    assert answer.result["images_omitted"] > 0
    assert agent.python("1").stdout == "1\n"


def test_files_made_and_changed_by_a_call_are_named(agent: Agent) -> None:
    (agent.data_dir / "old.txt").write_text("old")
    (agent.data_dir / "changed.txt").write_text("a")
    code = """
import os
os.makedirs('sub/dir')
open('sub/dir/new.txt', 'w').close()
with open('changed.txt', 'a') as file: print('b', file=file)
"""
    answer = agent.python(code)

    assert answer.file_names == {"sub/dir/new.txt", "changed.txt"}
    assert agent.python("open('old.txt').read();").file_names == set()


def test_looking_for_the_network_gets_an_explanation(start_agent: StartAgent) -> None:
    code = "print('Temporary failure in name resolution')"
    assert start_agent().python(code).stdout.endswith('its network_policy is "disabled".\n')
    assert start_agent("--network", "allowlist").python(code).stdout == "Temporary failure in name resolution\n"


def test_a_python_that_cannot_start_says_why(start_agent: StartAgent, tmp_path: Path) -> None:
    answer = start_agent("--python", str(tmp_path / "missing")).python("1")
    assert answer.result["outcome"] == {"type": "died", "signal": None, "exit_code": 127}
    assert "No such file or directory" in answer.stdout


def test_people_get_a_clean_environment_and_no_descriptors(agent: Agent) -> None:
    names = agent.python("import os\nsorted(os.environ)").stdout
    assert "PYTHONPATH" not in names
    assert "MPLBACKEND" in names
    assert agent.shell("ls /proc/self/fd").stdout.split() == ["0", "1", "2", "3"]  # 3 is ls's own
    assert agent.shell("ulimit -c; umask; cat /proc/self/oom_score_adj").stdout == "0\n0022\n1000\n"


WARM = ["json.tool", "no.such.module", "decimal"]


def test_a_warmed_python_is_as_a_fresh_one(start_agent: StartAgent) -> None:
    fresh, warm = start_agent(), start_agent()
    assert warm.call(op="warm", modules=WARM).answer().result == {}
    assert warm.python("import sys; 'decimal' in sys.modules, len(In)").stdout == "(True, 2)\n"
    assert fresh.python("import sys; 'decimal' in sys.modules, len(In)").stdout == "(False, 2)\n"
    names = "sorted(dir()), In, Out, get_ipython().execution_count, sys.path"
    assert warm.python(names).stdout.replace("True", "False") == fresh.python(names).stdout


def test_what_a_warmed_module_prints_or_ends_is_not_seen(start_agent: StartAgent) -> None:
    agent = start_agent()
    (agent.data_dir / "loud.py").write_text("print('loud', flush=True)")
    (agent.data_dir / "deadly.py").write_text("import os; os._exit(3)")
    assert agent.call(op="warm", modules=["loud"]).answer().result == {}
    assert agent.python("print('first')").stdout == "first\n"
    other = start_agent()
    (other.data_dir / "deadly.py").write_text("import os; os._exit(3)")
    assert other.call(op="warm", modules=["deadly"]).answer().result == {}
    assert other.python("print('first')").stdout == "first\n"


def test_peoples_python_is_not_warmed(start_agent: StartAgent) -> None:
    agent = start_agent()
    agent.python("import sys")
    assert agent.call(op="warm", modules=["decimal"]).answer().result == {}
    assert agent.python("'decimal' in sys.modules").stdout == "False\n"


def test_a_warm_up_that_is_hung_up_on_ends(start_agent: StartAgent) -> None:
    agent = start_agent()
    (agent.data_dir / "slow.py").write_text("import time; time.sleep(600)")
    agent.call(op="warm", modules=["slow"]).close()
    assert agent.python("print('first')").stdout == "first\n"


@pytest.mark.parametrize("modules", [None, "json", [1], ["json"] * 257, ["a\0b"]])
def test_a_warm_up_that_makes_no_sense(shared_agent: Agent, modules: object) -> None:
    assert shared_agent.call(op="warm", modules=modules).answer().failure["code"] == "bad_request"
