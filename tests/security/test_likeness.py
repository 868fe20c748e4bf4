"""A forked sandbox and one started cold are the same, field by field: agent, people's commands, people's Python."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.harness.poll import wait_until
from tests.oci_fixtures import OciMachine
from tests.security.conftest import Cell

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "user", "uts")
STATUS = (
    *("Umask", "TracerPid", "Threads", "NoNewPrivs", "Seccomp"),
    *("SigBlk", "SigIgn", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "CoreDumping"),
    *("Cpus_allowed", "Mems_allowed", "Speculation_Store_Bypass", "SpeculationIndirectBranch"),
)
# 32 and 33 are glibc's own, caught once a library has ever had a thread.
GLIBC_SIGNALS = 3 << 31
WHOS = ("agent", "command", "python")
# An agent that was forked has a small process beside it that forks for it; it is walled in as the agent is.
FORKS = b"fork_server.py"

# What only a process itself can tell.
INSIDE = """
import ctypes, gc, json, os, resource, signal, site, sys, threading
_own = {
    "environment": dict(os.environ), "argv": sys.argv, "path": sys.path, "flags": repr(sys.flags),
    "executable": sys.executable,
    "dumpable": ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), "cwd": os.getcwd(), "umask": os.umask(0o022),
    "nice": os.nice(0), "threads": threading.active_count(), "user_site": site.ENABLE_USER_SITE, "gc": gc.isenabled(),
    "signals": {str(n): str(signal.getsignal(n)).split(" at ")[0] for n in (2, 13, 15, 25)},
    "main": sorted(vars(sys.modules["__main__"])), "modules": [m for m in sys.modules if m.startswith("atoll")],
    "stdin": os.readlink("/proc/self/fd/0"), "encoding": sys.stdout.encoding, "hooks": len(sys.meta_path),
    "shell": {
        "folders": [str(folder) for folder in _dh], "started in": get_ipython().starting_dir, "input": input.__name__,
        "count": get_ipython().execution_count, "last": repr(_), "results": dict(Out), "home": get_ipython().home_dir,
        "traits": sorted(name for name in get_ipython().trait_names()),
    },
    "owner": os.stat("/proc/self/mem").st_uid, "userns": open("/proc/self/uid_map").read().split()[0::2],
}
print(json.dumps(_own))
"""


@pytest.fixture(scope="module")
def cells(cold_machine: OciMachine, forking_machine: OciMachine) -> Iterator[tuple[Cell, Cell]]:
    made = Cell(cold_machine), Cell(forking_machine)
    assert [cell.kind for cell in made] == ["cold", "forked"]
    for cell in made:
        cell.call("print()")
        cell.people("nohup sleep 3600 >/dev/null 2>&1 &")
    yield made
    for cell in made:
        cell.close()


def processes(cell: Cell) -> dict[str, int]:
    """Give the host's numbers of the three processes."""

    def look() -> dict[str, int]:
        pids = [pid for pid in cell.machine.cgroups.processes(cell.id) if pid != cell.init_pid]
        lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids}
        sleep = [pid for pid, line in lines.items() if line == b"sleep\x003600\0"]
        python = [pid for pid, line in lines.items() if b"python" in line and FORKS not in line]
        return {"agent": cell.init_pid, "command": sleep[0], "python": python[0]} if sleep and python else {}

    return wait_until(look, what="the three processes")


def picture(cell: Cell, pid: int) -> dict[str, Any]:
    """Say everything about a process that the host can see, in numbers that do not depend on the sandbox's range."""
    folder = Path(f"/proc/{pid}")
    first = int((folder / "uid_map").read_text().split()[1])
    status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines() if ":\t" in line)
    init = Path(f"/proc/{cell.init_pid}/ns")
    return {
        **{name: status[name].strip() for name in STATUS if name in status},
        "caught": int(status["SigCgt"], 16) & ~GLIBC_SIGNALS,
        "groups": [int(group) - first for group in status["Groups"].split()],
        "pid namespaces": len(status["NSpid"].split()),
        "leads": [status["NSpid"].split()[-1] == status[name].split()[-1] for name in ("NStgid", "NSpgid", "NSsid")],
        "ids": {name: [int(one) - first for one in status[name].split()] for name in ("Uid", "Gid")},
        "maps": [(folder / name).read_text().split()[0::2] for name in ("uid_map", "gid_map", "setgroups")],
        "own namespaces": {
            name: (folder / "ns" / name).readlink() != (Path("/proc/self/ns") / name).readlink() for name in NAMESPACES
        },
        "shared namespaces": {
            name: (folder / "ns" / name).readlink() == (init / name).readlink() for name in NAMESPACES
        },
        "limits": (folder / "limits").read_text(),
        "cgroups": sorted(
            line.replace(cell.id, "ID").replace(cell.machine.cgroup_parent, "PARENT")
            for line in (folder / "cgroup").read_text().splitlines()
        ),
        "oom_score_adj": (folder / "oom_score_adj").read_text(),
        "nice": (folder / "stat").read_text().rpartition(")")[2].split()[16],
        "root and cwd": [str((folder / name).readlink()) for name in ("root", "cwd")],
        # Kinds, not numbers: how soon the agent lets go of a call's own is a matter of time.
        "descriptors": sorted({_descriptor(link) for link in (folder / "fd").iterdir()}),
        "mounts": sorted(
            (words[4], words[5], words[words.index("-") + 1])
            for words in (line.split() for line in (folder / "mountinfo").read_text().splitlines())
        ),
        "core filter": (folder / "coredump_filter").read_text(),
        "personality": (folder / "personality").read_text(),
        "scheduler": (folder / "timerslack_ns").read_text(),
    }


def _descriptor(link: Path) -> tuple[str, str]:
    return (link.name if int(link.name) < 4 else "others", str(link.readlink()).partition("[")[0])


@pytest.mark.parametrize("who", WHOS)
def test_the_host_sees_the_same(cells: tuple[Cell, Cell], who: str) -> None:
    def difference() -> dict[str, Any]:
        try:
            cold, forked = (picture(cell, processes(cell)[who]) for cell in cells)
        except FileNotFoundError as error:  # let go of between two looks
            return {"gone": error}
        return {name: (cold[name], forked[name]) for name in cold if cold[name] != forked[name]}

    with suppress(TimeoutError):  # a program that has only begun still reads files of its own
        wait_until(lambda: not difference(), what="the same", timeout_s=10)
    assert difference() == {}


def test_people_see_the_same(cells: tuple[Cell, Cell]) -> None:
    cold, forked = (json.loads(cell.call(INSIDE)) for cell in cells)
    assert cold == forked


def test_cold_and_forked_run_the_same_processes_but_for_one_that_forks(cells: tuple[Cell, Cell]) -> None:
    def that_fork() -> list[int]:
        pids = cells[1].machine.cgroups.processes(cells[1].id)
        return [pid for pid in pids if FORKS in Path(f"/proc/{pid}/cmdline").read_bytes()]

    (server,) = wait_until(that_fork, what="the process that forks")
    cold, forked = (cell.machine.cgroups.processes(cell.id) for cell in cells)
    assert len(cold) == len(WHOS)
    assert len(forked) == len(WHOS) + 1

    def differences() -> set[str]:
        agent_picture, server_picture = (picture(cells[1], pid) for pid in (cells[1].init_pid, server))
        return {name for name in agent_picture if agent_picture[name] != server_picture[name]}

    # An interpreter ignores signals from its start on, but not from the first moment.
    wait_until(lambda: "SigIgn" not in differences(), what="the start of the one that forks")
    assert differences() <= {"caught", "leads", "descriptors"}
    descriptors = [str(link.readlink()) for link in Path(f"/proc/{server}/fd").iterdir()]
    assert sum(target.startswith("socket:") for target in descriptors) == 1
    assert all(target.startswith(("socket:", "/dev/null")) or target.endswith("agent.log") for target in descriptors)
