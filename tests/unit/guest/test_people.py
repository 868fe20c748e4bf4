"""People's code as another user than the agent: what it may not do, and what the agent survives. Needs root."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from atoll.guest.protocol import FrameType
from tests.harness.poll import wait_until
from tests.unit.guest.agent_process import Agent
from tests.unit.guest.conftest import StartAgent

UID = 0x6A701  # nobody's, so that nothing of this machine is met by a kill
OPTIONS = ("--uid", str(UID), "--gid", str(UID))

# What a sandbox's agent has there, and nothing more.
FEW_POWERS = ("setpriv", "--bounding-set", "-all,+setuid,+setgid,+kill", "--no-new-privs")
OWN_NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def other(start_agent: StartAgent) -> Agent:
    """An agent whose people are another user."""
    return start_agent(*OPTIONS, prefix=FEW_POWERS, uid=UID)


@pytest.fixture
def first(start_agent: StartAgent) -> Agent:
    """The same as PID 1 of its own pid namespace, as in a sandbox."""
    return start_agent(*OPTIONS, prefix=(*OWN_NAMESPACE, *FEW_POWERS), uid=UID)


def test_people_are_that_user_with_nothing_more(other: Agent) -> None:
    assert other.shell("id -u; id -G; whoami 2>/dev/null || echo nameless").stdout == f"{UID}\n{UID}\nnameless\n"
    status = other.shell("grep -E 'NoNewPrivs|CapEff|CapPrm' /proc/self/status").stdout.split()
    assert status == ["CapPrm:", "0" * 16, "CapEff:", "0" * 16, "NoNewPrivs:", "1"]
    assert other.python("import os\nos.getresuid(), os.getgroups()").stdout == f"(({UID}, {UID}, {UID}), [{UID}])\n"


def test_people_cannot_look_into_the_agent(other: Agent) -> None:
    pid = other.process.pid
    answer = other.shell(f"cat /proc/{pid}/environ", f"cat /proc/{pid}/mem", f"ls /proc/{pid}/fd", f"kill -9 {pid}")
    assert 0 not in answer.exit_codes
    assert other.is_well()


def test_people_cannot_end_the_agent_while_it_ends_them(first: Agent) -> None:
    hammer = """
import os, signal
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    if os.fork() == 0:
        os.setsid()
        print(flush=True)
        while True:
            try: os.kill(1, number)
            except PermissionError: pass
"""
    for _ in range(20):
        first.shell(f"python3 -c '{hammer}' | head -n 3")
        assert first.call(op="restart").answer().result == {}
    assert first.is_well()


def test_files_belong_to_people(other: Agent) -> None:
    other.put("sub/up.txt", b"x")
    assert other.shell("stat -c '%u %g %a' sub sub/up.txt; rm sub/up.txt && rmdir sub").stdout == (
        f"{UID} {UID} 755\n{UID} {UID} 644\n"
    )


def test_files_are_read_with_peoples_rights_only(other: Agent) -> None:
    secret = other.data_dir / "secret"
    secret.write_text("root's")
    secret.chmod(0o600)
    assert other.get("secret").failure["code"] == "permission"
    other.shell("mkdir closed; touch closed/x; chmod 0 closed")
    assert other.put("closed/y", b"").failure["code"] == "permission"
    assert other.files() == {"secret": 6}


def test_people_cannot_signal_a_transfer(other: Agent) -> None:
    (other.data_dir / "large").write_bytes(bytes(5_000_000))
    call = other.call(op="file_get", path="/mnt/data/large", offset=0, length=None)
    assert call.frame() is not None
    children = Path(f"/proc/{other.process.pid}/task/{other.process.pid}/children").read_text().split()
    assert other.shell(f"kill -9 {children[0]}").exit_codes == [1]
    assert len(call.answer().data) == 5_000_000


def test_restart_spares_transfers(other: Agent) -> None:
    (other.data_dir / "large").write_bytes(bytes(5_000_000))
    call = other.call(op="file_get", path="/mnt/data/large", offset=0, length=None)
    assert call.frame() is not None
    assert other.call(op="restart").answer().result == {}
    assert len(call.answer().data) == 5_000_000


def test_as_pid_1_it_survives_a_kill_of_everything(first: Agent) -> None:
    first.python("x = 1")
    answer = first.shell("sleep 60 & kill -9 -1; kill -9 $$", "echo next")
    assert answer.exit_codes == [137, 0]
    assert first.is_well()
    answer = first.python("'x' in globals()")
    assert "Python was ended by signal 9" in answer.stdout
    if answer.outcome == "died":  # it was asked while it was still dying
        answer = first.python("'x' in globals()")
    assert answer.stdout.endswith("False\n")


def test_as_pid_1_it_cannot_be_killed_and_spares_transfers(first: Agent) -> None:
    (first.data_dir / "large").write_bytes(bytes(5_000_000))
    call = first.call(op="file_get", path="/mnt/data/large", offset=0, length=None)
    assert call.frame() is not None
    first.shell("setsid sleep 60 & kill -9 1; kill -9 -1")
    assert first.call(op="restart").answer().result == {}
    assert first.shell(f"ps -o comm= -U {UID}").stdout.split() == ["ps"]
    assert len(call.answer().data) == 5_000_000


def test_as_pid_1_it_reaps_orphans(first: Agent) -> None:
    first.shell("for i in $(seq 50); do (setsid true &); done")
    wait_until(lambda: first.shell("ps -o stat= -e | grep -c Z").stdout == "0\n", what="no zombie is left")


@pytest.fixture
def cramped(start_agent: StartAgent) -> Agent:
    """An agent whose data folder is a disk of 2 MiB."""
    script = 'mount -t tmpfs -o size=2m,mode=777 tmpfs "$HOME/data"; exec "$@"'
    return start_agent(prefix=("unshare", "--mount", "sh", "-c", script, "sh"))


def test_a_full_disk_is_told_and_leaves_the_old_file(cramped: Agent) -> None:
    cramped.put("a", b"old")
    assert cramped.put("a", bytes(3_000_000)).failure["code"] == "no_space"
    assert cramped.put("new/b", bytes(3_000_000)).failure["code"] == "no_space"
    assert cramped.files() == {"a": 3}
    assert cramped.shell("ls -A").stdout == "a\n"
    assert cramped.get("a").data == b"old"


def test_python_starts_and_draws_on_a_full_disk(cramped: Agent) -> None:
    cramped.shell("head -c 3M /dev/zero > fill")
    code = "from IPython.display import Image\ndisplay(Image(data=b'\\x89PNG' * 2000, format='png'))\nprint('drawn')"
    answer = cramped.python(code)
    assert answer.outcome == "ok"
    assert answer.stdout.endswith("drawn\n")
    assert len(answer.all(FrameType.IMAGE)) == 1


@pytest.fixture
def confined(start_agent: StartAgent) -> Iterator[Agent]:
    """An agent as PID 1 in cgroups of its own: 40 processes, 200 MiB."""
    folders = _make_cgroups(f"atoll-guest-test-{os.getpid()}", processes=40, memory_bytes=200 << 20)
    join = "".join(f'echo $$ > "{folder}/cgroup.procs"; ' for folder in folders)
    try:
        agent = start_agent(
            *OPTIONS, prefix=("sh", "-c", f'{join} exec "$@"', "sh", *OWN_NAMESPACE, *FEW_POWERS), uid=UID
        )
        yield agent
        agent.end()
    finally:
        for folder in folders:
            wait_until(lambda f=folder: _removed(f), what="the cgroup is empty")  # type: ignore[misc]


def _make_cgroups(name: str, processes: int, memory_bytes: int) -> list[Path]:
    root = Path("/sys/fs/cgroup")
    if (root / "pids").is_dir():
        folders = [root / "pids" / name, root / "memory" / name]
        limits = {folders[0] / "pids.max": processes, folders[1] / "memory.limit_in_bytes": memory_bytes}
    else:
        folders = [root / name]
        limits = {folders[0] / "pids.max": processes, folders[0] / "memory.max": memory_bytes}
    try:
        for folder in folders:
            folder.mkdir()
        for file, limit in limits.items():
            file.write_text(str(limit))
    except OSError as error:
        for folder in folders:
            _removed(folder)
        pytest.skip(f"no cgroups to be had here: {error}")
    return folders


def _removed(folder: Path) -> bool:
    with suppress(OSError):
        folder.rmdir()
    return not folder.exists()


def test_a_fork_bomb_in_python_ends_with_its_call(confined: Agent) -> None:
    # Whichever comes first: the time, the last process, or (each of them has pages of its own) the memory.
    outcome = confined.python("import os\nwhile True: os.fork()", timeout_ms=1000).outcome
    assert outcome in ("timeout", "error", "died")
    assert confined.python("print('on')").stdout.endswith("on\n")


def test_a_fork_bomb_left_in_the_background_is_ended_by_the_next_call(confined: Agent) -> None:
    (confined.data_dir / "kept").touch()
    confined.shell(":() { : | : & }; :", timeout_ms=500)
    assert confined.is_well()
    answer = confined.python("print('on')")
    assert answer.outcome == "ok"
    assert answer.stdout.endswith("on\n")
    assert confined.shell("echo too").stdout == "too\n"
    assert confined.get("kept").data == b""


def test_processes_that_fill_the_container_give_way_to_the_next_call(confined: Agent) -> None:
    code = """
import subprocess
try:
    while True: subprocess.Popen(['sleep', '60'], start_new_session=True)
except BlockingIOError as error:
    print(error.strerror)
"""
    assert confined.python(code).stdout == "Resource temporarily unavailable\n"
    assert confined.get("nothing").failure["code"] == "busy"
    assert confined.files() == {}
    answer = confined.shell("echo on")
    assert answer.stdout == "on\n"
    assert "[atoll] The container had no processes or memory left" in answer.stderr


def test_a_memory_kill_hits_people_and_not_the_agent(confined: Agent) -> None:
    answer = confined.python("print('before', flush=True)\nhog = bytearray(400 << 20)")
    assert answer.result["outcome"] == {"type": "died", "signal": 9, "exit_code": None}
    assert answer.stdout.startswith("before\n")
    assert confined.shell("head -c 400M /dev/zero | tail; echo ${PIPESTATUS[1]}").stdout == "137\n"
    assert confined.python("print('on')").stdout == "on\n"
