"""Processes: exact arguments, bytes both ways, how they end, and that none of them holds the agent up."""

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from atoll.guest.protocol import FrameType, decode_json, encode
from tests.harness.poll import wait_until
from tests.unit.guest.agent_process import Agent, Answer, Call
from tests.unit.guest.conftest import StartAgent

SHOW = "import sys; sys.stdout.buffer.write(b'|'.join(map(__import__('os').fsencode, sys.argv[1:])))"
COPY = "import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
MEBIBYTE = 1 << 20


def stdout(answer: Answer) -> bytes:
    return b"".join(answer.all(FrameType.STDOUT))


def outcome(answer: Answer) -> dict[str, Any]:
    value: dict[str, Any] = answer.result["outcome"]
    return value


def exited(code: int = 0) -> dict[str, Any]:
    return {"type": "exit", "exit_code": code}


def feed(call: Call, data: bytes) -> Call:
    """Send input, from a thread: the program may want its output read meanwhile."""

    def send() -> None:
        with suppress(OSError):  # the program was over before all was sent
            for start in range(0, len(data), 256 * 1024):
                call.send(encode(FrameType.DATA, data[start : start + 256 * 1024]))
            call.send(encode(FrameType.END))

    threading.Thread(target=send, daemon=True).start()
    return call


def started(call: Call) -> None:
    frame = call.frame()
    assert frame is not None
    assert decode_json(frame[1]) == {"event": "started"}


def next_stdout(call: Call) -> bytes:
    frame = call.frame()
    assert frame is not None
    assert frame[0] is FrameType.STDOUT, frame
    return frame[1]


def test_arguments_arrive_as_they_are(shared_agent: Agent) -> None:
    arguments = ["", "$HOME", "a b", "*", "'\"\\", "ä\n", "-x", "%s"]
    answer = shared_agent.program("python3", "-c", SHOW, *arguments)
    assert stdout(answer) == "|".join(arguments).encode()
    assert answer.events == [{"event": "started"}]
    assert answer.result["outcome"] == exited()


def test_output_is_kept_to_the_byte(shared_agent: Agent) -> None:
    every = bytes(range(256)) * 500
    Path(shared_agent.data_dir, "every").write_bytes(every)
    answer = shared_agent.program("sh", "-c", "cat every; tac -s '' every >&2")
    assert stdout(answer) == every
    assert len(b"".join(answer.all(FrameType.STDERR))) == len(every)


@pytest.mark.parametrize("size", [0, 1, 65_536, 8 * MEBIBYTE])
def test_input_arrives_whole_and_ends(size: int, shared_agent: Agent) -> None:
    data = os.urandom(size)
    call = shared_agent.begin_program("python3", "-c", COPY, input=True, output_bytes_max=size)
    answer = feed(call, data).answer()
    assert stdout(answer) == data
    assert outcome(answer) == exited()


def test_without_input_there_is_none(shared_agent: Agent) -> None:
    answer = shared_agent.program(
        "python3", "-c", "import os; print(os.readlink('/proc/self/fd/0'), os.listdir('/proc/self/fd'))"
    )
    assert stdout(answer) == b"/dev/null ['0', '1', '2', '3']\n"  # the last is the listing's own


@pytest.mark.parametrize("size", [10, 300_000, 8 * MEBIBYTE])
@pytest.mark.parametrize("reads", ["true", "exec 0<&-; exec sleep 0.05", "head -c 5 >/dev/null"])
def test_input_that_nobody_reads_is_no_harm(size: int, reads: str, shared_agent: Agent) -> None:
    call = shared_agent.begin_program("sh", "-c", reads, input=True)
    assert outcome(feed(call, bytes(size)).answer()) == exited()
    assert shared_agent.is_well()


def test_input_that_is_never_read_is_not_held_by_the_agent(agent: Agent) -> None:
    assert agent.is_well()
    before = resident_bytes(agent.process.pid)
    call = agent.begin_program("sleep", "60", input=True)
    started(call)
    call.socket.settimeout(1)
    with pytest.raises(TimeoutError):
        call.send(*[encode(FrameType.DATA, bytes(256 * 1024))] * 256)
    assert resident_bytes(agent.process.pid) - before < 4 * MEBIBYTE
    call.close()
    wait_until(lambda: not children(agent), what="hanging up was heard although nothing was read")


def test_environment_comes_on_top(shared_agent: Agent) -> None:
    answer = shared_agent.program("env", environment={"NAME": "a=ä b", "LANG": "C", "EMPTY": ""})
    lines = stdout(answer).decode().splitlines()
    assert {"NAME=a=ä b", "LANG=C", "EMPTY=", f"HOME={shared_agent.data_dir.parent}"} <= set(lines)
    assert sum(line.startswith("LANG=") for line in lines) == 1


@pytest.mark.parametrize(
    ("cwd", "seen"), [(None, ""), ("/mnt/data", ""), ("/mnt/data/sub", "/sub"), ("sub", "/sub"), ("sub/..", "")]
)
def test_working_directory(cwd: str | None, seen: str, shared_agent: Agent) -> None:
    Path(shared_agent.data_dir, "sub").mkdir(exist_ok=True)
    assert stdout(shared_agent.program("pwd", cwd=cwd)) == f"{shared_agent.data_dir}{seen}\n".encode()


def test_working_directory_outside_of_the_data_folder(shared_agent: Agent) -> None:
    assert stdout(shared_agent.program("pwd", cwd="/usr")) == b"/usr\n"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"argv": ["no-such-program"]}, "argv"),
        ({"argv": ["./no/such"]}, "argv"),
        ({"argv": ["/etc/passwd"]}, "argv"),
        ({"argv": ["/"]}, "argv"),
        ({"argv": ["no-interpreter"], "environment": {"PATH": "."}}, "argv"),
        ({"argv": ["x" * 5000]}, "argv"),
        ({"argv": ["true", "x" * 200_000]}, "argv"),
        ({"argv": ["true"], "cwd": "no-such-folder"}, "cwd"),
        ({"argv": ["true"], "cwd": "/etc/passwd"}, "cwd"),
        ({"argv": ["true"], "cwd": "x" * 5000}, "cwd"),
        ({"argv": ["true"], "user": "root:nobody"}, "user"),
        ({"argv": ["true"], "user": "4711"}, "user"),
        ({"argv": ["true"], "user": ""}, "user"),
        ({"argv": []}, "argv"),
        ({"argv": [""]}, "argv"),
    ],
)
def test_what_cannot_be_started_says_what_is_wrong(fields: dict[str, Any], field: str, shared_agent: Agent) -> None:
    script = Path(shared_agent.data_dir, "no-interpreter")
    script.write_text("#!/no/such/shell\n")
    script.chmod(0o755)
    answer = shared_agent.call(op="process", **{"timeout_ms": 1000, "output_bytes_max": 10} | fields).answer()
    assert answer.failure["code"] == "bad_request"
    assert answer.failure["field"] == field
    assert answer.events == []


@pytest.mark.parametrize("user", [None, "{name}", "{uid}", "{uid}:{gid}"])
def test_the_user_of_peoples_code_may_be_named(user: str | None, shared_agent: Agent) -> None:
    name = stdout(shared_agent.program("sh", "-c", "echo $USER")).decode().strip()
    wanted = None if user is None else user.format(name=name, uid=os.getuid(), gid=os.getgid())
    assert outcome(shared_agent.program("true", user=wanted)) == exited()


def test_how_it_ended(shared_agent: Agent) -> None:
    assert outcome(shared_agent.program("sh", "-c", "exit 7")) == exited(7)
    assert outcome(shared_agent.program("sh", "-c", "kill -KILL $$")) == {"type": "signal", "signal": signal.SIGKILL}
    assert outcome(shared_agent.program("sh", "-c", "kill -SEGV $$")) == {"type": "signal", "signal": signal.SIGSEGV}


def test_out_of_time_keeps_what_came(shared_agent: Agent) -> None:
    answer = shared_agent.program("sh", "-c", "echo begun; sleep 60", timeout_ms=300)
    assert stdout(answer) == b"begun\n"
    assert outcome(answer) == {"type": "timeout"}


def test_a_group_that_ignores_being_asked_is_killed(shared_agent: Agent) -> None:
    script = "trap '' TERM; (trap '' TERM; echo $$; while :; do sleep 1; done) & echo $!; wait"
    answer = shared_agent.program("sh", "-c", script, timeout_ms=200)
    assert outcome(answer) == {"type": "timeout"}
    pids = [int(line) for line in stdout(answer).split()]
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), what="the group is gone")


def test_a_grandchild_that_holds_the_pipes_holds_nothing_up(shared_agent: Agent) -> None:
    began = time.monotonic()
    answer = shared_agent.program("sh", "-c", "setsid sh -c 'echo on; sleep 30; echo late' & echo $!; sleep 0.2")
    assert time.monotonic() - began < 10
    assert b"on\n" in stdout(answer)
    assert b"late" not in stdout(answer)
    (pid,) = [int(line) for line in stdout(answer).split() if line.isdigit()]
    os.kill(pid, signal.SIGKILL)


def test_hanging_up_ends_it(shared_agent: Agent) -> None:
    call = shared_agent.begin_program("sh", "-c", "echo $$; exec sleep 60")
    started(call)
    pid = int(next_stdout(call))
    call.close()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the program is gone")


def test_many_run_beside_each_other_and_beside_a_call(agent: Agent) -> None:
    waiting = agent.begin_shell("while [ ! -e go ]; do sleep 0.02; done; echo went")
    calls = [
        agent.begin_program("sh", "-c", "while [ ! -e go ]; do sleep 0.02; done; echo $0", str(n)) for n in range(12)
    ]
    for call in calls:
        started(call)
    assert outcome(agent.program("touch", "go")) == exited()
    assert [stdout(call.answer()) for call in calls] == [f"{n}\n".encode() for n in range(12)]
    assert waiting.answer().stdout == "went\n"


def test_a_restart_ends_them(agent: Agent) -> None:
    call = agent.begin_program("sleep", "60")
    started(call)
    assert agent.call(op="restart").answer().result == {}
    assert outcome(call.answer()) == {"type": "signal", "signal": signal.SIGKILL}


def test_a_flood_is_cut_in_the_middle_and_counted(shared_agent: Agent) -> None:
    answer = shared_agent.program("sh", "-c", "seq 1000000; seq 5 >&2", output_bytes_max=1000)
    whole = b"".join(b"%d\n" % number for number in range(1, 1_000_001))
    told, last = stdout(answer), b"".join(answer.all(FrameType.STDERR))
    (gap,) = [event for event in answer.events if event["event"] == "omitted"]
    assert gap == {"event": "omitted", "stream": "stdout", "bytes": len(whole) + len(last) - 1000 - 0}
    assert told[:500] == whole[:500]
    assert whole.endswith(told[500:])
    assert last == b"1\n2\n3\n4\n5\n"


def test_an_endless_flood_to_a_host_that_reads_nothing(agent: Agent) -> None:
    assert agent.is_well()
    before = resident_bytes(agent.process.pid)
    call = agent.begin_program("yes", output_bytes_max=60_000_000, timeout_ms=60_000)
    started(call)
    wait_until(lambda: cpu_is_still(agent), what="the program waits for its reader")
    assert resident_bytes(agent.process.pid) - before < 8 * MEBIBYTE
    call.close()
    wait_until(lambda: not children(agent), what="the program is gone")


def test_the_connection_can_be_kept(agent: Agent) -> None:
    call = agent.begin_program("echo", "one", keep=True)
    frames = [call.frame() for _ in range(3)]
    assert [frame and frame[0] for frame in frames] == [FrameType.EVENT, FrameType.STDOUT, FrameType.RESULT]
    again = call.ask(op="process", argv=["echo", "two"], timeout_ms=1000, output_bytes_max=10).answer()
    assert stdout(again) == b"two\n"


def test_no_descriptor_is_left_open(agent: Agent) -> None:
    def turn() -> None:
        agent.program("true")
        feed(agent.begin_program("cat", input=True), b"x").answer()
        agent.program("no-such-program")
        agent.program("true", user="nobody-else")
        agent.begin_program("sleep", "60").close()
        wait_until(lambda: not children(agent), what="all have ended")

    turn()
    before = descriptors(agent)
    for _ in range(10):
        turn()
    wait_until(lambda: descriptors(agent) <= before, what="no more descriptors than before")


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming somebody else needs root")
def test_as_people_of_their_own(start_agent: StartAgent) -> None:
    agent = start_agent("--uid", "1000", uid=1000)
    show = "import os; print(os.getresuid(), os.getresgid(), os.getgroups(), os.getcwd(), oct(os.umask(0)))"
    alone = stdout(agent.program("python3", "-c", show))
    assert alone.startswith(b"(1000, 1000, 1000) (1000, 1000, 1000) [1000]")
    assert agent.program("true", user="0").failure["field"] == "user"
    assert agent.program("true", user="1000:0").failure["field"] == "user"
    assert outcome(agent.program("true", user="1000:1000")) == exited()
    assert agent.program("cat", cwd="/root").failure["field"] == "cwd"


def children(agent: Agent) -> list[str]:
    pid = agent.process.pid
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def descriptors(agent: Agent) -> int:
    return sum(1 for _ in Path(f"/proc/{agent.process.pid}/fd").iterdir())


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_is_still(agent: Agent) -> bool:
    def used() -> int:
        return sum(int(value) for value in Path(f"/proc/{agent.process.pid}/stat").read_text().split()[13:15])

    before = used()
    time.sleep(0.1)
    return used() == before
