"""The control groups of sandboxes: where they are, what they measure, freezing and removing them; v1 and v2.

Limits are first set by the OCI runtime from the spec, all but one; this module changes them, reads, freezes and
removes. A sandbox's group is ``<parent>/<sandbox id>`` under each controller (v1) or once (v2). ``root`` is an
argument so that tests can give a folder that only looks like a cgroup file system.
"""

import errno
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from atoll.runtime.contract import SandboxSpec

DEFAULT_ROOT: Final = Path("/sys/fs/cgroup")
NETWORK_MEMORY_BYTES_MAX: Final = 64 << 20
"""On cgroup v1. Sockets of TCP and UDP take it from what the whole machine has for them, loopback or not."""

CPU_PERIOD_US: Final = 100_000
_CPU_QUOTA_US_MIN: Final = 1000
# The kernel takes memory for a group a few pages at a time.
_CHARGE_BYTES_MAX: Final = 256 << 10
_REMOVE_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Held:
    """Memory in use, and the part of it that the kernel can take back: pages of files."""

    held_bytes: int
    reclaimable_bytes: int


class Cgroups(Protocol):
    """The groups of all sandboxes under one parent. Reading raises ``FileNotFoundError`` for a group that is gone."""

    @property
    def swap_limited(self) -> bool:
        """Whether this kernel can bound memory and swap together."""
        ...

    def path(self, sandbox_id: str) -> str:
        """Give the ``cgroupsPath`` of the OCI spec."""
        ...

    def memory_bytes(self, sandbox_id: str) -> int:
        """Give the memory in use."""
        ...

    def memory_was_full(self, sandbox_id: str) -> bool:
        """Tell whether the group was at its own limit since this was last asked, which may also be by cached files."""
        ...

    def make_parent(self) -> None:
        """Make the parent, so that it can have a limit of memory. Raises ``OSError``."""
        ...

    def memory_of_all(self) -> Held:
        """Give the memory that the parent and all groups in it hold."""
        ...

    def limit_memory_of_all(self, limit_bytes: int) -> None:
        """Bound that memory. Raises ``OSError``, on cgroup v1 ``EBUSY`` when more is held."""
        ...

    def memory_kills(self, sandbox_id: str) -> int:
        """Give how many processes the kernel ended for want of memory."""
        ...

    def cpu_s(self, sandbox_id: str) -> float:
        """Give the CPU time that was used, in seconds."""
        ...

    def pids(self, sandbox_id: str) -> int:
        """Give the number of processes and threads."""
        ...

    def pids_max(self, sandbox_id: str) -> int | None:
        """Give how many there may be; ``None`` for any number."""
        ...

    def pids_refused(self, sandbox_id: str) -> int:
        """Give how many could not be started because of that limit; 0 where the kernel does not count them."""
        ...

    def processes(self, sandbox_id: str) -> list[int]:
        """Give the host's ids of the processes inside; none for a group that is gone."""
        ...

    def limit_network_memory(self, sandbox_id: str) -> None:
        """Bound what network sockets hold where the limit of memory does not. Raises ``OSError``."""
        ...

    def limit(self, sandbox_id: str, before: SandboxSpec, after: SandboxSpec) -> None:
        """Change memory, processes and CPU from what one spec says to what the other does.

        Raises ``OSError`` when there is more memory in use than it may have, or when the group is gone.
        """
        ...

    def yield_cpu(self, sandbox_id: str, *, to_all: bool) -> None:
        """Let everything else on the machine go before this one, or make it equal again. Raises ``OSError``."""
        ...

    def add(self, sandbox_id: str, pid: int) -> None:
        """Move a process into the group. Raises ``OSError``."""
        ...

    def freeze(self, sandbox_id: str) -> None:
        """Stop everything inside; a group that is gone is left alone."""
        ...

    def thaw(self, sandbox_id: str) -> None:
        """Let everything inside go on; a group that is gone is left alone."""
        ...

    def remove(self, sandbox_id: str) -> None:
        """Remove the group, waiting for its last processes. Raises ``OSError`` when one stays."""
        ...

    def remove_parent(self) -> None:
        """Remove the parent where no group is left in it."""
        ...


def detect(parent: str, root: Path = DEFAULT_ROOT) -> Cgroups:
    """Find out which kind is mounted at ``root``."""
    if (root / "cgroup.controllers").exists():
        return CgroupsV2(parent, root)
    return CgroupsV1(parent, root)


def cpu_quota_us(cpus: float) -> int:
    """Give the time of each period that so many cores are. Pure."""
    return max(_CPU_QUOTA_US_MIN, round(cpus * CPU_PERIOD_US))


class CgroupsV2:
    """The unified hierarchy."""

    def __init__(self, parent: str, root: Path) -> None:
        self._parent = parent.strip("/")
        self._root = root
        self._seen_full: dict[str, int] = {}

    @property
    def swap_limited(self) -> bool:
        """Always: without swap accounting there is no file and runc writes none."""
        return True

    def path(self, sandbox_id: str) -> str:
        return f"/{self._parent}/{sandbox_id}"

    def memory_bytes(self, sandbox_id: str) -> int:
        return int(self._file(sandbox_id, "memory.current").read_text())

    def memory_was_full(self, sandbox_id: str) -> bool:
        before = self._seen_full.get(sandbox_id, 0)
        now = self._seen_full[sandbox_id] = _counter(self._file(sandbox_id, "memory.events"), "oom")
        return now > before

    def make_parent(self) -> None:
        path = self._root
        for name in Path(self._parent).parts:
            _write(path / "cgroup.subtree_control", "+memory")
            path /= name
            path.mkdir(exist_ok=True)

    def memory_of_all(self) -> Held:
        parent = self._root / self._parent
        held = int((parent / "memory.current").read_text())
        return Held(held, _sum(parent / "memory.stat", {"active_file", "inactive_file"}))

    def limit_memory_of_all(self, limit_bytes: int) -> None:
        _write(self._root / self._parent / "memory.max", limit_bytes)

    def memory_kills(self, sandbox_id: str) -> int:
        return _counter(self._file(sandbox_id, "memory.events"), "oom_kill")

    def cpu_s(self, sandbox_id: str) -> float:
        return _counter(self._file(sandbox_id, "cpu.stat"), "usage_usec") / 1e6

    def pids(self, sandbox_id: str) -> int:
        return int(self._file(sandbox_id, "pids.current").read_text())

    def pids_max(self, sandbox_id: str) -> int | None:
        return _limit(self._file(sandbox_id, "pids.max"))

    def pids_refused(self, sandbox_id: str) -> int:
        return _counter_if_there(self._file(sandbox_id, "pids.events"), "max")

    def processes(self, sandbox_id: str) -> list[int]:
        return _process_ids(self._file(sandbox_id, "cgroup.procs"))

    def limit_network_memory(self, sandbox_id: str) -> None:
        """Do nothing: it counts as memory."""

    def limit(self, sandbox_id: str, before: SandboxSpec, after: SandboxSpec) -> None:
        # memory.swap.max stays 0. Below what is in use the kernel would end processes instead of refusing.
        if after.memory_bytes < before.memory_bytes and self.memory_bytes(sandbox_id) > after.memory_bytes:
            raise OSError(errno.EBUSY, "more memory is in use")
        _write(self._file(sandbox_id, "memory.max"), after.memory_bytes)
        _write(self._file(sandbox_id, "pids.max"), after.pids_max)
        _write(self._file(sandbox_id, "cpu.max"), f"{cpu_quota_us(after.cpus)} {CPU_PERIOD_US}")

    def yield_cpu(self, sandbox_id: str, *, to_all: bool) -> None:
        _write(self._file(sandbox_id, "cpu.weight"), 1 if to_all else 100)

    def add(self, sandbox_id: str, pid: int) -> None:
        self._file(sandbox_id, "cgroup.procs").write_text(str(pid))

    def freeze(self, sandbox_id: str) -> None:
        _write_if_there(self._file(sandbox_id, "cgroup.freeze"), "1")

    def thaw(self, sandbox_id: str) -> None:
        _write_if_there(self._file(sandbox_id, "cgroup.freeze"), "0")

    def remove(self, sandbox_id: str) -> None:
        self._seen_full.pop(sandbox_id, None)
        _remove_folder(self._file(sandbox_id, ""))

    def remove_parent(self) -> None:
        _remove_empty(self._root, self._parent)

    def _file(self, sandbox_id: str, name: str) -> Path:
        return self._root / self._parent / sandbox_id / name


class CgroupsV1:
    """One hierarchy for each controller (and, in a hybrid, one of v2 without controllers)."""

    def __init__(self, parent: str, root: Path) -> None:
        self._parent = parent.strip("/")
        self._root = root

    @property
    def swap_limited(self) -> bool:
        """Whether swap is accounted, which a kernel may be built or started without."""
        return (self._root / "memory" / "memory.memsw.limit_in_bytes").exists()

    def path(self, sandbox_id: str) -> str:
        return f"/{self._parent}/{sandbox_id}"

    def memory_bytes(self, sandbox_id: str) -> int:
        return int(self._file("memory", sandbox_id, "memory.usage_in_bytes").read_text())

    def memory_was_full(self, sandbox_id: str) -> bool:
        # Not by memory.failcnt: Linux 6.18 does not count there.
        peak = self._file("memory", sandbox_id, "memory.max_usage_in_bytes")
        limit = int(self._file("memory", sandbox_id, "memory.limit_in_bytes").read_text())
        was_full = int(peak.read_text()) > limit - _CHARGE_BYTES_MAX
        if was_full:
            _write(peak, 0)
        return was_full

    def make_parent(self) -> None:
        (self._root / "memory" / self._parent).mkdir(parents=True, exist_ok=True)

    def memory_of_all(self) -> Held:
        parent = self._root / "memory" / self._parent
        held = int((parent / "memory.usage_in_bytes").read_text())
        return Held(held, _sum(parent / "memory.stat", {"total_active_file", "total_inactive_file"}))

    def limit_memory_of_all(self, limit_bytes: int) -> None:
        _write(self._root / "memory" / self._parent / "memory.limit_in_bytes", limit_bytes)

    def memory_kills(self, sandbox_id: str) -> int:
        return _counter(self._file("memory", sandbox_id, "memory.oom_control"), "oom_kill")

    def cpu_s(self, sandbox_id: str) -> float:
        return int(self._file("cpuacct", sandbox_id, "cpuacct.usage").read_text()) / 1e9

    def pids(self, sandbox_id: str) -> int:
        return int(self._file("pids", sandbox_id, "pids.current").read_text())

    def pids_max(self, sandbox_id: str) -> int | None:
        return _limit(self._file("pids", sandbox_id, "pids.max"))

    def pids_refused(self, sandbox_id: str) -> int:
        return _counter_if_there(self._file("pids", sandbox_id, "pids.events"), "max")

    def processes(self, sandbox_id: str) -> list[int]:
        return _process_ids(self._file("pids", sandbox_id, "cgroup.procs"))

    def limit_network_memory(self, sandbox_id: str) -> None:
        """Set the limit of its own that it has here; OCI runtimes have given up setting it."""
        _write_if_there(
            self._file("memory", sandbox_id, "memory.kmem.tcp.limit_in_bytes"), str(NETWORK_MEMORY_BYTES_MAX)
        )

    def limit(self, sandbox_id: str, before: SandboxSpec, after: SandboxSpec) -> None:
        memory = ["memory.limit_in_bytes"]
        if self.swap_limited:
            # Memory with swap may never be less than memory alone, so the order depends on the direction.
            memory.insert(0 if after.memory_bytes > before.memory_bytes else 1, "memory.memsw.limit_in_bytes")
        for name in memory:
            _write(self._file("memory", sandbox_id, name), after.memory_bytes)
        _write(self._file("pids", sandbox_id, "pids.max"), after.pids_max)
        _write(self._file("cpu", sandbox_id, "cpu.cfs_quota_us"), cpu_quota_us(after.cpus))

    def yield_cpu(self, sandbox_id: str, *, to_all: bool) -> None:
        _write(self._file("cpu", sandbox_id, "cpu.shares"), 2 if to_all else 1024)

    def add(self, sandbox_id: str, pid: int) -> None:
        for hierarchy in self._hierarchies():
            # The OCI runtime has made a group in each hierarchy that it knows, and put its process in there.
            with suppress(FileNotFoundError), (hierarchy / self._parent / sandbox_id / "cgroup.procs").open("r+") as f:
                f.write(str(pid))

    def freeze(self, sandbox_id: str) -> None:
        _write_if_there(self._file("freezer", sandbox_id, "freezer.state"), "FROZEN")

    def thaw(self, sandbox_id: str) -> None:
        _write_if_there(self._file("freezer", sandbox_id, "freezer.state"), "THAWED")

    def remove(self, sandbox_id: str) -> None:
        for hierarchy in self._hierarchies():
            _remove_folder(hierarchy / self._parent / sandbox_id)

    def remove_parent(self) -> None:
        for hierarchy in self._hierarchies():
            _remove_empty(hierarchy, self._parent)

    def _file(self, controller: str, sandbox_id: str, name: str) -> Path:
        return self._root / controller / self._parent / sandbox_id / name

    def _hierarchies(self) -> list[Path]:
        # Controllers mounted together have one folder and links to it.
        return [path for path in self._root.iterdir() if path.is_dir() and not path.is_symlink()]


def _counter(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def _sum(path: Path, names: set[str]) -> int:
    lines = (line.split() for line in path.read_text().splitlines())
    return sum(int(value) for name, value in lines if name in names)


def _counter_if_there(path: Path, name: str) -> int:
    try:
        return _counter(path, name)
    except FileNotFoundError:
        return 0


def _limit(path: Path) -> int | None:
    text = path.read_text().strip()
    return None if text == "max" else int(text)


def _process_ids(path: Path) -> list[int]:
    try:
        return [int(line) for line in path.read_text().split()]
    except OSError:  # gone: ENOENT before the read, ENODEV within it
        return []


def _write(path: Path, value: object) -> None:
    with path.open("r+") as file:  # never makes a file: in a group that is gone there is none
        file.write(str(value))


def _write_if_there(path: Path, text: str) -> None:
    with suppress(FileNotFoundError), path.open("r+") as file:
        file.write(text)


def _remove_folder(path: Path, clock: Callable[[], float] = time.monotonic) -> None:
    """Remove a group; the kernel answers EBUSY for a moment after its last process ended."""
    deadline = clock() + _REMOVE_TIMEOUT_S
    while True:
        try:
            path.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if clock() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _remove_empty(root: Path, parent: str) -> None:
    path = root / parent
    while path != root:
        try:
            path.rmdir()
        except OSError:  # not there, or still in use by others
            return
        path = path.parent
