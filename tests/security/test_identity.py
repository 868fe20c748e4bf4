"""What the host's kernel says a sandbox's processes are."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from atoll.runtime.oci.slots import FIRST_HOST_ID, IDS_PER_SLOT, SLOTS_MAX
from tests.harness.poll import wait_until
from tests.security.conftest import Cell

KILL_SETGID_SETUID = (1 << 5) | (1 << 6) | (1 << 7)
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")


@pytest.fixture(scope="module")
def people_pid(shared_cell: Cell) -> Iterator[int]:
    """Give the host's number of a process of people's code."""
    shared_cell.people("nohup sleep 3600 >/dev/null 2>&1 &")
    found = wait_until(lambda: _find(shared_cell, b"sleep\x003600\0"), what="people's process")
    yield found[0]
    shared_cell.restart()


def _find(cell: Cell, command_line: bytes) -> list[int]:
    pids = cell.machine.cgroups.processes(cell.id)
    return [pid for pid in pids if Path(f"/proc/{pid}/cmdline").read_bytes() == command_line]


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_the_agent_holds_three_capabilities_of_its_namespace(shared_cell: Cell) -> None:
    seen = status(shared_cell.init_pid)
    for kind in ("CapPrm", "CapEff", "CapBnd"):
        assert int(seen[kind], 16) == KILL_SETGID_SETUID
    for kind in ("CapInh", "CapAmb"):
        assert int(seen[kind], 16) == 0


def test_people_hold_none(people_pid: int) -> None:
    seen = status(people_pid)
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(seen[kind], 16) == 0


def test_neither_can_gain_privileges_and_both_are_filtered(shared_cell: Cell, people_pid: int) -> None:
    for pid in (shared_cell.init_pid, people_pid):
        seen = status(pid)
        assert seen["NoNewPrivs"] == "1"
        assert seen["Seccomp"] == "2"


def test_ids_are_subordinate_ones(shared_cell: Cell, people_pid: int) -> None:
    for name in ("uid_map", "gid_map"):
        inside, first, count = map(int, Path(f"/proc/{shared_cell.init_pid}/{name}").read_text().split())
        assert (inside, count) == (0, IDS_PER_SLOT)
        assert FIRST_HOST_ID <= first < FIRST_HOST_ID + SLOTS_MAX * IDS_PER_SLOT
    assert status(shared_cell.init_pid)["Uid"].split() == [str(first)] * 4
    for kind in ("Uid", "Gid"):
        assert status(people_pid)[kind].split() == [str(first + 1000)] * 4
    assert status(people_pid)["Groups"] in {"", str(first + 1000)}


def test_every_namespace_is_its_own(shared_cell: Cell, people_pid: int) -> None:
    for name in NAMESPACES:
        own = Path(f"/proc/{shared_cell.init_pid}/ns/{name}").readlink()
        assert own != Path(f"/proc/self/ns/{name}").readlink()
        assert Path(f"/proc/{people_pid}/ns/{name}").readlink() == own


def test_people_die_first_when_memory_is_short(shared_cell: Cell, people_pid: int) -> None:
    scores = [int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in (shared_cell.init_pid, people_pid)]
    assert scores[0] < 1000
    assert scores[1] == 1000


def test_no_descriptor_of_the_host_leads_in(shared_cell: Cell, people_pid: int) -> None:
    # The agent counts process numbers in its own /proc.
    for pid, own in ((shared_cell.init_pid, ["/proc/loadavg"]), (people_pid, [])):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            target = str(link.readlink())
            expected = target.startswith(("socket:", "pipe:", "anon_inode:", "/dev/null")) or target in own
            assert expected or target.endswith("agent.log"), target


def test_only_loopback_is_there(shared_cell: Cell) -> None:
    _, output = shared_cell.people("cat /proc/net/dev | tail -n +3 | cut -d: -f1; cat /proc/net/route | wc -l")
    assert output.split() == ["lo", "1"]
    code, output = shared_cell.python(
        "import socket\n"
        "for host, family in (('127.0.0.1', socket.AF_INET), ('::1', socket.AF_INET6)):\n"
        "    server = socket.create_server((host, 0), family=family)\n"
        "    socket.create_connection(server.getsockname()[:2]).close()\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(('localhost', server.getsockname()[1])).close()\n"
    )
    assert code == 0, output


def test_it_is_called_sandbox_and_knows_no_name_server_but_its_own(shared_cell: Cell) -> None:
    _, output = shared_cell.people("hostname; cat /etc/hostname; grep nameserver /etc/resolv.conf")
    assert output.split() == ["sandbox", "sandbox", "nameserver", "127.0.0.1"]  # where nobody listens


def test_devices_are_the_everyday_ones(shared_cell: Cell) -> None:
    _, output = shared_cell.people("stat -c '%F %n' /dev/* /dev/*/* 2>/dev/null | grep -v -e directory -e link")
    names = ("full", "null", "pts/ptmx", "random", "tty", "urandom", "zero")
    assert sorted(output.splitlines()) == [f"character special file /dev/{name}" for name in names]


def test_nothing_of_it_is_seen_on_the_host(shared_cell: Cell) -> None:
    assert shared_cell.id not in Path("/proc/self/mountinfo").read_text()
    assert shared_cell.id not in subprocess.run(["findmnt"], capture_output=True, text=True, check=True).stdout
