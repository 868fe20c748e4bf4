"""Programs that a small process forks for a large agent are what its own forks are: its children, settled alike."""

import errno
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atoll.guest import fork_server, vfork
from atoll.guest.fork_client import ForkClient
from atoll.guest.options import Options, People
from atoll.guest.reactor import ChildEnd, Reactor
from tests.harness.poll import wait_until

# Everything that a program can see of how it was started; not what is its own (numbers, times, this shell's memory).
LOOK = """
set -e
echo parent $PPID
echo session $(ps -o sid= -p $$ | tr -d ' ') is $$
grep -E '^(Uid|Gid|Groups|Sig|Shd|Cap|NoNewPrivs|Seccomp|Threads|Cpus_allowed|Umask)' /proc/$$/status
cat /proc/$$/limits /proc/$$/oom_score_adj
echo nice $(ps -o ni= -p $$)
ls /proc/$$/fd
pwd
tr '\\0' '\\n' < /proc/$$/environ
"""


# What starts programs where nothing quicker can: on another processor, without executable memory.
SLOWLY = """
import sys
sys.path.insert(0, sys.argv[1])
from atoll.guest import vfork
vfork._CODE.clear()
from atoll.guest import fork_server
fork_server.main()
"""


class Host:
    """A process with a client in it: this one."""

    def __init__(self, folder: Path) -> None:
        people = People(
            uid=1000 if os.geteuid() == 0 else None,
            gid=1000 if os.geteuid() == 0 else None,
            data_dir=str(folder),
            environment={"PATH": os.environ["PATH"], "NAME": "ä value"},
            file_bytes_max=1 << 30,
            nofile_max=512,
        )
        self.options = Options(
            listen_fd=-1, python=sys.executable, network_is_disabled=True, people=people, forks_python=True
        )
        self.exits: dict[int, Callable[[ChildEnd], None]] = {}
        self.client = self.new_client()

    def new_client(self, **changes: Any) -> ForkClient:
        reactor = Reactor()
        reactor.watch_child = self._watch  # type: ignore[method-assign]
        return ForkClient(replace(self.options, **changes), reactor)

    def _watch(
        self,
        pid: int,
        handler: Callable[[ChildEnd], None],
        on_error: Callable[[BaseException], None],  # noqa: ARG002 - the reactor's signature
    ) -> None:
        self.exits[pid] = handler

    def run(self, *argv: str) -> tuple[int, str]:
        """Run a program to its end; give its exit code and what it wrote."""
        reader, writer = os.pipe()
        try:
            pid = self.client.spawn(argv, {1: writer, 2: writer})
        finally:
            os.close(writer)
        with os.fdopen(reader, "rb") as file:
            text = file.read().decode()
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status), text

    @property
    def server_pid(self) -> int:
        (pid,) = self.exits
        return pid

    def wait_ready(self) -> None:
        server = self.client._server
        assert server is not None
        wait_until(server.is_ready, what="the process that forks is ready")

    def close(self) -> None:
        for pid, handler in self.exits.items():
            os.kill(pid, signal.SIGKILL)
            handler(ChildEnd(signal.SIGKILL, None))
            os.waitpid(pid, 0)


@pytest.fixture(params=["quickly", "slowly"])
def host(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    if request.param == "quickly" and platform.machine() not in vfork._CODE:
        pytest.skip("no machine code for this processor")
    if request.param == "slowly":
        (tmp_path / "slowly.py").write_text(SLOWLY)
        monkeypatch.setattr(fork_server, "__file__", str(tmp_path / "slowly.py"))
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    host = Host(tmp_path)
    yield host
    host.close()


@pytest.fixture
def served(host: Host) -> Host:
    """Give a host whose next programs come from the small process."""
    assert host.run("true") == (0, "")
    host.wait_ready()
    return host


def test_programs_are_the_same_whoever_forks_them(host: Host) -> None:
    code, own = host.run("bash", "-c", LOOK)
    host.wait_ready()
    served_code, served = host.run("bash", "-c", LOOK)
    assert (code, served_code) == (0, 0)
    assert f"parent {os.getpid()}\n" in served

    def known(text: str) -> list[str]:
        lines = text.splitlines()
        session, _, own_pid = lines[1].removeprefix("session ").partition(" is ")
        return [lines[0], str(session == own_pid), *lines[2:]]

    assert known(served) == known(own)


def test_the_quick_way_is_the_one_that_is_taken(served: Host, request: pytest.FixtureRequest) -> None:
    targets = [link.readlink() for link in Path(f"/proc/{served.server_pid}/fd").iterdir()]
    is_quick = targets.count(Path(os.devnull)) == 2  # its own input, and one for programs
    assert is_quick == ("quickly" in request.node.callspec.id)


def test_endings_and_descriptors(served: Host) -> None:
    assert served.run("bash", "-c", "echo out; echo err >&2; exit 7") == (7, "out\nerr\n")
    assert served.run("bash", "-c", "kill -9 $$") == (-9, "")
    code, text = served.run("no-such-program")
    assert code == 127
    assert text.startswith("[atoll] The process could not be started: ")
    assert list(served.exits) == [served.server_pid]


def test_what_does_not_fit_is_forked_as_before(served: Host) -> None:
    assert served.run("bash", "-c", "echo ${#1} ${#2}", "-", "x" * 100_000, "y" * 100_000) == (0, "100000 100000\n")


def test_one_that_died_unseen_is_told_as_want_of_room_and_replaced(served: Host) -> None:
    old = served.server_pid
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: Path(f"/proc/{old}/stat").read_text().split()[2] == "Z", what="its end")
    with pytest.raises(OSError, match="has died") as caught:
        served.run("true")
    assert caught.value.errno == errno.ENOMEM
    os.waitpid(old, 0)
    del served.exits[old]
    assert served.run("true") == (0, "")
    served.wait_ready()
    assert served.server_pid != old


def test_one_that_died_is_replaced(served: Host) -> None:
    old = served.server_pid
    os.kill(old, signal.SIGKILL)
    os.waitpid(old, 0)
    served.exits.pop(old)(ChildEnd(signal.SIGKILL, None))
    assert served.run("true") == (0, "")
    assert served.server_pid != old


def test_it_ends_with_the_agent(served: Host) -> None:
    server = served.client._server
    assert server is not None
    server._socket.close()
    _, status = os.waitpid(served.server_pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    served.exits.clear()


def test_where_the_agent_is_small_there_is_none(host: Host) -> None:
    host.client = host.new_client(forks_python=False)
    assert host.run("true") == (0, "")
    assert host.exits == {}


def test_one_that_cannot_be_started_is_done_without(host: Host, capfd: pytest.CaptureFixture[str]) -> None:
    host.client = host.new_client(python="/no/such/python")
    assert host.run("true") == (0, "")
    (pid,) = host.exits
    os.waitpid(pid, 0)
    host.exits.pop(pid)(ChildEnd(None, 127))
    assert host.run("true") == (0, "")
    assert host.exits == {}
    assert capfd.readouterr().err.count("/no/such/python") == 1
