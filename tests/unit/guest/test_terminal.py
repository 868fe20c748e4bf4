"""A terminal, over the wire, on a real pseudo terminal."""

import hashlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atoll.guest.protocol import FrameType, decode_json, encode, encode_json
from atoll.guest.terminal import SCROLLBACK_BYTES
from tests.harness.poll import wait_until
from tests.unit.guest.agent_process import Agent, Call

IDS = [f"term_{number:032x}" for number in range(40)]

# The shell may let a program run before the terminal is its own: what is typed then is for the shell. And not dash:
# it forgets an interrupt that comes while it forks.
SLEEPER = (
    "python3 -c 'import os, time; list(iter(lambda: os.tcgetpgrp(0) == os.getpgrp(), True)); "
    """print("beg" "un", flush=True); time.sleep(1000)'\n"""
)

# And not a shell's trap: a signal that comes while its handler runs is forgotten.
RESIZED = (
    "python3 -c 'import os, signal as s; list(iter(lambda: os.tcgetpgrp(0) == os.getpgrp(), True)); "
    """s.pthread_sigmask(s.SIG_BLOCK, {s.SIGWINCH}); print("beg" "un", flush=True); """
    """[print("size", *os.get_terminal_size(), flush=True) for _ in iter(lambda: s.sigwait({s.SIGWINCH}), 0)]'\n"""
)
RAW = (
    "python3 -c 'import os, signal as s, tty; list(iter(lambda: os.tcgetpgrp(0) == os.getpgrp(), True)); "
    """s.pthread_sigmask(s.SIG_BLOCK, {s.SIGINT}); tty.setraw(0); print("really" + " raw", flush=True); """
    """s.sigwait({s.SIGINT}); print("to" + "ld")'\n"""
)


class Screen:
    """One connection to a terminal."""

    def __init__(self, call: Call) -> None:
        self.call = call
        _calls.append(call)
        self.shown = b""
        self.shown_bytes = 0
        kind, payload = self._frame()
        assert kind is FrameType.EVENT, (kind, payload)
        self.attached = decode_json(payload)

    def type(self, text: str | bytes) -> "Screen":
        """Send what a person would press keys for."""
        self.call.send(*_keys(text.encode() if isinstance(text, str) else text))
        return self

    def order(self, **fields: Any) -> "Screen":
        """Send something else than keys."""
        self.call.send(encode_json(FrameType.REQUEST, fields))
        return self

    def wait_for(self, pattern: str) -> str:
        """Read until what was shown since the last call matches; give the match."""
        while (found := re.search(pattern.encode(), self.shown)) is None:
            kind, payload = self._frame()
            assert kind is FrameType.DATA, (kind, payload, self.shown[-300:])
            self.shown += payload
            self.shown_bytes += len(payload)
        self.shown = self.shown[found.end() :]
        return found[0].decode()

    def settle(self) -> "Screen":
        """Wait for the shell, and give it a prompt to know it by."""
        self.type("bind 'set enable-bracketed-paste off'; PS1=rea''dy; PS2=\n")
        self.wait_for("ready")
        return self

    def run(self, command: str) -> str:
        """Run a command to its end; give what it showed."""
        self.type(f"{command}; echo en''d\n")
        self.wait_for(r"en''d\r\n")
        shown = self.wait_for(r"(?s).*?end\r\nready")
        return shown.removesuffix("end\r\nready").replace("\r\n", "\n")

    def result(self) -> dict[str, Any]:
        """Read to the end of the operation."""
        while True:
            kind, payload = self._frame()
            if kind is not FrameType.DATA:
                assert kind is FrameType.RESULT, (kind, payload)
                self.call.close()
                return decode_json(payload)
            self.shown += payload

    def hang_up(self) -> None:
        """Go away."""
        self.call.close()

    def _frame(self) -> tuple[FrameType, bytes]:
        frame = self.call.frame()
        assert frame is not None, self.shown[-300:]
        return frame


def _keys(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 60_000):
        yield encode(FrameType.DATA, data[start : start + 60_000])


_calls: list[Call] = []


@pytest.fixture(autouse=True)
def no_call_is_left() -> Iterator[None]:
    """Hang up at the end of each test."""
    yield
    while _calls:
        _calls.pop().close()


@pytest.fixture
def screen(agent: Agent) -> Screen:
    """Give a new terminal's."""
    return opened(agent)


def opened(agent: Agent, number: int = 0, **fields: Any) -> Screen:
    defaults = {"columns": 80, "rows": 24, "terminals_max": 4}
    return Screen(agent.call(op="terminal_open", id=IDS[number], **defaults | fields)).settle()


def attached(agent: Agent, number: int = 0, **fields: Any) -> Screen:
    return Screen(agent.call(op="terminal_attach", id=IDS[number], **{"columns": 80, "rows": 24} | fields))


def listed(agent: Agent) -> list[dict[str, Any]]:
    terminals = agent.call(op="terminal_list").answer().result["terminals"]
    assert isinstance(terminals, list)
    return terminals


def test_a_shell_on_a_real_terminal(agent: Agent, screen: Screen) -> None:
    assert screen.attached == {"event": "attached", "id": IDS[0]}
    assert screen.run("test -t 0 && test -t 1 && test -t 2 && echo yes") == "yes\n"
    assert screen.run("tty").startswith("/dev/pts/")
    assert screen.run("test -w $(tty) && : < /dev/tty && echo mine") == "mine\n"
    assert screen.run("pwd") == f"{agent.data_dir}\n"
    assert screen.run("echo $TERM [$NO_COLOR$PAGER]") == "xterm-256color []\n"
    assert screen.run("stty size") == "24 80\n"
    screen.type("exit 7\n")
    assert screen.result() == {"reason": "exited", "exit_code": 7, "signal": None}
    assert listed(agent) == []


def test_the_last_that_is_shown_is_not_lost(agent: Agent) -> None:
    for number in range(10):
        screen = opened(agent, number)
        screen.type("printf '%2000s' x; printf LAST; exit\n")
        screen.result()
        assert screen.shown.endswith(b"xLASTexit\r\n"), screen.shown[-100:]


def test_resize(screen: Screen) -> None:
    screen.type(RESIZED).wait_for("begun\r\n")
    screen.order(op="resize", columns=132, rows=50)
    screen.wait_for(r"size 132 50\r\n")
    screen.order(op="resize", columns=1000, rows=1)
    screen.wait_for(r"size 1000 1\r\n")


@pytest.mark.parametrize("number", [0, -1, 1001, 2**40, True, None, "80", 1.5, float("nan")])
def test_sizes_that_make_no_sense(agent: Agent, number: object) -> None:
    answer = agent.call(op="terminal_open", id=IDS[0], columns=number, rows=24, terminals_max=4).answer()
    assert answer.failure["code"] == "bad_request"


def test_control_c_ends_the_program_and_not_the_shell(screen: Screen) -> None:
    screen.type(SLEEPER).wait_for("begun\r\n")
    screen.type("\x03").wait_for(r"\^C(?s:.*)ready")
    assert screen.run("echo $?") == "130\n"


def test_control_z_and_jobs(screen: Screen) -> None:
    screen.run("set -m")
    screen.type(SLEEPER).wait_for("begun\r\n")
    screen.type("\x1a").wait_for(r"Stopped(?s:.*)ready")
    assert "Stopped" in screen.run("jobs")


def test_a_signal_for_a_program_that_takes_no_keys(screen: Screen) -> None:
    screen.type(RAW).wait_for("really raw")
    screen.type("\x03")
    screen.order(op="signal", signal="INT")
    screen.wait_for("told")


def test_a_signal_that_there_is_not_ends_the_connection(agent: Agent, screen: Screen) -> None:
    screen.order(op="signal", signal="SEGV")
    assert screen.call.frame() is None or screen.call.answer().frames
    wait_until(lambda: listed(agent)[0]["attached"] is False, what="the end of the connection")


def test_it_goes_on_without_a_connection(agent: Agent, screen: Screen) -> None:
    screen.run("x=5; cd /")
    screen.hang_up()
    wait_until(lambda: not listed(agent)[0]["attached"], what="a terminal that nobody has")
    again = attached(agent)
    again.wait_for(r"x=5; cd /(?s:.*)ready")
    assert again.run("echo $x $PWD") == "5 /\n"


def test_what_is_shown_meanwhile_is_shown_again(agent: Agent, screen: Screen, tmp_path: Path) -> None:
    gate = agent.data_dir / "gate"
    os.mkfifo(gate)
    screen.type(f"read < {gate}; seq 3; echo do''ne; : > {agent.data_dir}/passed\n")
    screen.wait_for("passed\r\n")
    screen.hang_up()
    wait_until(lambda: not listed(agent)[0]["attached"], what="a terminal that nobody has")
    gate.write_text("\n")
    wait_until((agent.data_dir / "passed").exists, what="output that nobody reads")
    attached(agent).wait_for("1\r\n2\r\n3\r\ndone\r\n")


def test_a_flood_that_nobody_reads_goes_on_and_is_not_kept(agent: Agent, screen: Screen) -> None:
    screen.type("seq 400000; echo do''ne; : > passed\n").wait_for("passed\r\n")
    screen.hang_up()
    wait_until((agent.data_dir / "passed").exists, what="the end of the flood")
    again = attached(agent)
    again.wait_for("399999\r\n400000\r\ndone")
    assert SCROLLBACK_BYTES // 2 < again.shown_bytes < 3 * SCROLLBACK_BYTES


def test_a_reader_that_does_not_read_makes_the_program_wait(agent: Agent, screen: Screen) -> None:
    screen.type("yes\n").wait_for("yes\r\n")
    status = Path(f"/proc/{agent.process.pid}/status")

    def memory_kib() -> int:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1])  # type: ignore[index]

    before = memory_kib()
    wait_until(lambda: _sleeps_in_write(agent), what="a program that waits for its reader")
    assert memory_kib() - before < 4096
    assert agent.is_well()
    screen.type("\x03").wait_for(r"\^C(?s:.*)ready")
    assert screen.run("echo still here") == "still here\n"


def _sleeps_in_write(agent: Agent) -> bool:
    """Tell whether the only ``yes`` below the agent did not run for a while."""
    numbers = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    pids = [pid for pid in numbers if _is_yes(pid, agent.process.pid)]
    times = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13] for pid in pids]
    seen = _times.setdefault(agent.process.pid, [])
    seen.append(times)
    return bool(times) and len(seen) > 10 and all(one == times for one in seen[-10:])


_times: dict[int, list[list[list[str]]]] = {}


def _is_yes(pid: int, ancestor: int) -> bool:
    try:
        if Path(f"/proc/{pid}/comm").read_text() != "yes\n":
            return False
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        return int(Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[1]) == ancestor
    except OSError:
        return False


def test_a_program_that_does_not_read_holds_up_who_types(agent: Agent, screen: Screen) -> None:
    program = f"sleep 1{os.getpid()}"  # its own among those of tests that run beside this one
    screen.type(f"stty raw -echo; {program}\n").wait_for(f"{program}\r\n")
    wait_until(lambda: program in _programs(agent), what="the program")
    screen.call.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        screen.type(b"x" * 10_000_000)
    screen.hang_up()  # heard although nothing is read of it any more
    wait_until(lambda: not listed(agent)[0]["attached"], what="a terminal that nobody has")
    again = attached(agent)
    again.order(op="signal", signal="INT")
    wait_until(lambda: program not in _programs(agent), what="the end of the program")
    assert agent.is_well()


def _programs(agent: Agent) -> list[str]:
    return agent.shell("ps -eo args").stdout.splitlines()


def test_much_that_is_typed_arrives(agent: Agent, screen: Screen) -> None:
    screen.type("stty raw -echo; head -c 1000000 | md5sum; stty sane\n").wait_for("sane\r\n")
    data = bytes(number % 251 for number in range(1_000_000))
    screen.type(data)
    screen.wait_for(hashlib.md5(data, usedforsecurity=False).hexdigest())


def test_a_newer_connection_takes_over(agent: Agent, screen: Screen) -> None:
    screen.run("echo first")
    second = attached(agent, columns=100)
    assert screen.result() == {"reason": "taken_over"}
    second.wait_for("first\r\nend\r\nready")
    assert second.run("stty size") == "24 100\n"


def test_a_full_screen_is_drawn_again(agent: Agent, screen: Screen) -> None:
    screen.run("trap 'echo drawn again' WINCH")
    screen.hang_up()
    again = attached(agent)
    again.type("\n").wait_for("drawn again\r\n")


def test_several_at_once_and_no_more_than_allowed(agent: Agent) -> None:
    screens = [opened(agent, number) for number in range(4)]
    for number, screen in enumerate(screens):
        screen.run(f"x={number}")
    assert [screen.run("echo $x") for screen in screens] == ["0\n", "1\n", "2\n", "3\n"]
    failure = agent.call(op="terminal_open", id=IDS[4], columns=80, rows=24, terminals_max=4).answer().failure
    assert failure["code"] == "too_many"
    failure = agent.call(op="terminal_open", id=IDS[1], columns=80, rows=24, terminals_max=9).answer().failure
    assert failure["code"] == "exists"
    assert [one["id"] for one in listed(agent)] == IDS[:4]
    assert agent.call(op="terminal_close", id=IDS[1]).answer().result == {"closed": True}
    assert screens[1].result() == {"reason": "closed"}
    assert agent.call(op="terminal_close", id=IDS[1]).answer().result == {"closed": False}
    assert [one["id"] for one in listed(agent)] == [IDS[0], IDS[2], IDS[3]]
    assert opened(agent, 4).run("echo room") == "room\n"


def test_one_that_is_not_there(agent: Agent) -> None:
    answer = agent.call(op="terminal_attach", id=IDS[0], columns=80, rows=24).answer()
    assert answer.failure["code"] == "not_found"


def test_restart_ends_it_and_says_so(agent: Agent, screen: Screen) -> None:
    screen.type("trap '' HUP TERM; sleep 1000\n").wait_for("sleep 1000\r\n")
    assert agent.call(op="restart").answer().result == {}
    assert screen.result() == {"reason": "restarted"}
    assert listed(agent) == []


def test_closing_ends_a_shell_that_does_not_want_to(agent: Agent, screen: Screen) -> None:
    pid = int(screen.run("trap '' HUP TERM; echo $$"))
    agent.call(op="terminal_close", id=IDS[0]).answer()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the end of the shell")


def test_a_shell_that_is_killed(screen: Screen) -> None:
    screen.type("kill -9 $$\n")
    assert screen.result() == {"reason": "exited", "exit_code": None, "signal": signal.SIGKILL}


def test_a_shell_that_lets_go_of_its_terminal(agent: Agent, screen: Screen) -> None:
    screen.type("exec python3 -c 'import os, time\nos.closerange(0, 256)\n")
    screen.type('time.sleep(0.3)\nfd = os.open("/dev/tty", os.O_RDWR)\nos.write(fd, b"ba"b"ck")\'\n')
    screen.wait_for("back")
    assert screen.result()["reason"] == "exited"
    assert agent.is_well()


def test_a_daemon_that_keeps_the_terminal(agent: Agent, screen: Screen) -> None:
    daemon = "import os, time; os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0); time.sleep(100)"
    screen.run(f"python3 -c '{daemon}'")
    screen.type("exit\n")
    assert screen.result()["reason"] == "exited"
    assert listed(agent) == []
    assert agent.is_well()


def test_frames_that_have_no_place_there(agent: Agent, screen: Screen) -> None:
    screen.call.send(encode(FrameType.END))
    wait_until(lambda: not listed(agent)[0]["attached"], what="the end of the connection")
    assert attached(agent).run("echo on") == "on\n"


@pytest.mark.parametrize("terminal_id", ["", "x", "term_", "term_G", "../../x", "term_" + "0" * 65, 5, None])
def test_ids_that_are_none(agent: Agent, terminal_id: object) -> None:
    answer = agent.call(op="terminal_attach", id=terminal_id, columns=80, rows=24).answer()
    assert answer.failure["code"] == "bad_request"


def test_calls_go_on_beside_it(agent: Agent, screen: Screen) -> None:
    screen.type("yes\n").wait_for("yes\r\n")
    assert agent.python("print(1)").stdout == "1\n"
    assert agent.shell("echo 2").stdout == "2\n"
