"""What a server and its sandboxes hold of the machine, seen from outside: for tests that nothing is left behind.

Everything here is told apart by whose it is (a server's home folder, its cgroup), so that other things that run on
the machine at the same time do not disturb.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
ZYGOTE = "zygote"


@dataclass(frozen=True, slots=True)
class Footprint:
    """Names of everything that is held; two of them can be compared."""

    processes: frozenset[str]
    cgroups: frozenset[str]
    loop_devices: frozenset[str]
    mounts: frozenset[str]
    namespaces: frozenset[str]

    def beyond(self, other: "Footprint") -> dict[str, list[str]]:
        """Say what is here that is not in ``other``."""
        more = {item.name: sorted(getattr(self, item.name) - getattr(other, item.name)) for item in fields(self)}
        return {name: names for name, names in more.items() if names}


NOTHING = Footprint(frozenset(), frozenset(), frozenset(), frozenset(), frozenset())


def footprint(home: Path, cgroup_parent: str) -> Footprint:
    """Look at everything that belongs to the server whose folders are below ``home``."""
    pids = processes_of(home, cgroup_parent)
    return Footprint(
        processes=frozenset(f"{pid} {command_line(pid)}" for pid in pids),
        cgroups=frozenset(str(path) for path in cgroups_below(cgroup_parent)),
        loop_devices=frozenset(loop_devices_below(home)),
        mounts=frozenset(mounts_that_name(str(home))),
        namespaces=frozenset(name for pid in pids for name in namespaces_of(pid)) - frozenset(namespaces_of(1)),
    )


def processes_of(home: Path, cgroup_parent: str) -> set[int]:
    """Find processes in the cgroup, or with ``home`` in their command line, environment or working directory."""
    inside = {pid for cgroup in cgroups_below(cgroup_parent) for pid in cgroup_processes(cgroup)}
    mark = os.fsencode(home)
    return inside | {pid for pid in _all_pids() if pid != os.getpid() and mark in _traces(pid)}


def sandbox_processes(cgroup_parent: str) -> set[int]:
    """Find the processes that live in sandboxes, which a zygote does not."""
    groups = [cgroup for cgroup in cgroups_below(cgroup_parent) if cgroup.name != ZYGOTE]
    return {pid for cgroup in groups for pid in cgroup_processes(cgroup)}


def zygote_processes(cgroup_parent: str) -> set[int]:
    """Find the zygote, and forks of it that are not in their sandbox yet."""
    groups = [cgroup for cgroup in cgroups_below(cgroup_parent) if cgroup.name == ZYGOTE]
    return {pid for cgroup in groups for pid in cgroup_processes(cgroup)}


def cgroups_below(cgroup_parent: str) -> list[Path]:
    """Give ``cgroup_parent`` and all cgroups in it, in every hierarchy (v1: one each; v2: the one)."""
    name = cgroup_parent.strip("/")
    tops = [CGROUP_ROOT / name, *(hierarchy / name for hierarchy in CGROUP_ROOT.iterdir() if hierarchy.is_dir())]
    return [Path(folder) for top in tops for folder, _, _ in os.walk(top)]


def cgroup_processes(cgroup: Path) -> set[int]:
    """Give the processes that are directly in a cgroup; one that is gone has none."""
    try:
        return {int(line) for line in (cgroup / "cgroup.procs").read_text().split()}
    except OSError:
        return set()


def loop_devices_below(home: Path) -> list[str]:
    """Give loop devices that stand on a file below ``home``, a deleted one too."""
    found = []
    for device in Path("/sys/block").glob("loop*"):
        try:
            backing_file = (device / "loop/backing_file").read_text()
        except OSError:
            continue
        if backing_file.startswith(str(home)):
            found.append(f"{device.name} {backing_file.strip()}")
    return found


def mounts_that_name(text: str, pid: int | str = "self") -> list[str]:
    """Give the lines of a process's mount table that hold ``text``."""
    return [line for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines() if text in line]


def namespaces_of(pid: int) -> list[str]:
    """Give the namespaces that a process is in, as ``mnt:[4026531841]``; none when it is gone."""
    try:
        return [str(link.readlink()) for link in Path(f"/proc/{pid}/ns").iterdir()]
    except OSError:
        return []


def descriptors_of(pid: int) -> list[str]:
    """Give what a process has open."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(link.readlink()))
        except FileNotFoundError:
            continue
    return found


def memory_bytes(pid: int) -> int:
    """Give the memory that only this process holds (private pages)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def kill_9(pid: int) -> None:
    """End a process; one that is gone already is fine."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def command_line(pid: int) -> str:
    """Give a process's command line, for people to read."""
    return _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()


def children_of(pid: int) -> list[int]:
    """Give a process's direct children."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be collected does not."""
    return _read(pid, "stat").rpartition(b")")[2].split()[:1] not in ([], [b"Z"])


def files_below(folder: Path) -> set[str]:
    """Give the paths of everything in a folder, relative to it."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")} if folder.exists() else set()


def _all_pids() -> Iterator[int]:
    return (int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdecimal())


def _traces(pid: int) -> bytes:
    try:
        working_directory = os.fsencode(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        working_directory = b""
    return b"\0".join((_read(pid, "cmdline"), _read(pid, "environ"), working_directory))


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
