"""Writes the OCI runtime's ``config.json`` for a sandbox; pure."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from atoll.runtime.contract import SandboxSpec
from atoll.runtime.oci.cgroup import CPU_PERIOD_US, cpu_quota_us
from atoll.runtime.oci.slots import IDS_PER_SLOT

USER_ID: Final = 1000
GUEST_ROOT: Final = "/opt/atoll"
DATA_DIR: Final = "/mnt/data"
_NAMESPACES: Final = ("pid", "network", "ipc", "uts", "mount", "user", "cgroup")
# What the agent needs as root of its user namespace: to become the user (two), and to end what the user started.
CAPABILITIES: Final = ("CAP_KILL", "CAP_SETGID", "CAP_SETUID")

MASKED_PATHS: Final = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/cmdline",  # the host's boot line may hold secrets
    "/proc/config.gz",
    "/proc/interrupts",  # times keystrokes and other containers
    "/proc/iomem",
    "/proc/ioports",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/latency_stats",
    "/proc/modules",
    "/proc/pagetypeinfo",
    "/proc/pressure",  # anyone may set triggers on the whole machine's
    "/proc/sched_debug",
    "/proc/schedstat",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/softirqs",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/vmallocinfo",
    "/proc/zoneinfo",
)
READONLY_PATHS: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxPlan:
    """Everything the spec is made of. Paths are the host's unless they say otherwise.

    ``guest_code`` holds the agent's package, ``etc`` the files ``hosts``, ``hostname`` and ``resolv.conf``;
    ``python`` is a path in the image. ``swap_limited`` says whether the kernel can bound swap. ``joined`` names by path
    the namespaces that are there already, because a forked agent is in them; the others are made.
    """

    rootfs: Path
    data: Path
    guest_code: Path
    etc: Path
    python: str
    first_host_id: int
    cgroups_path: str
    limits: SandboxSpec
    swap_limited: bool
    oom_score_adj: int
    seccomp: dict[str, Any]
    joined: dict[str, str] = field(default_factory=dict)


def build(plan: SandboxPlan) -> dict[str, Any]:
    """Give the whole of ``config.json``."""
    return {
        "ociVersion": "1.0.2",
        "process": _process(plan),
        "root": {"path": str(plan.rootfs), "readonly": False},
        "hostname": "sandbox",
        "mounts": _mounts(plan),
        "linux": {
            "namespaces": [_namespace(kind, plan.joined.get(kind)) for kind in _NAMESPACES],
            "uidMappings": _mappings(plan.first_host_id),
            "gidMappings": _mappings(plan.first_host_id),
            "cgroupsPath": plan.cgroups_path,
            "resources": _resources(plan.limits, swap_limited=plan.swap_limited),
            "maskedPaths": list(MASKED_PATHS),
            "readonlyPaths": list(READONLY_PATHS),
            # An agent that comes in from outside loads this filter itself. In the runtime's own process nothing ever
            # runs then, and compiling it anew would cost a tenth of all that making a sandbox does.
            **({} if plan.joined else {"seccomp": plan.seccomp}),
        },
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class ZygotePlan:
    """What the spec of a zygote is made of; see ``SandboxPlan``. ``uid`` and ``gid`` are the host's."""

    rootfs: Path
    guest_code: Path
    python: str
    uid: int
    gid: int
    cgroups_path: str
    memory_bytes: int
    pids_max: int
    swap_limited: bool
    oom_score_adj: int
    seccomp: dict[str, Any]


def build_zygote(plan: ZygotePlan) -> dict[str, Any]:
    """Give ``config.json`` of a zygote: an unprivileged user of the host in walls of its own.

    It shares the host's user and pid namespaces, since only from there sandboxes can be entered. Its ``/proc`` shows
    processes of its own user only, and of the machine what a sandbox's does.
    """
    limits = SandboxSpec(memory_bytes=plan.memory_bytes, disk_bytes=0, pids_max=plan.pids_max, cpus=1.0)
    resources = _resources(limits, swap_limited=plan.swap_limited)
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": plan.uid, "gid": plan.gid, "umask": 0o022},
            # Forks keep this command line: agents in the host's list are called the same, however they were started.
            "args": [plan.python, "-m", "atoll.guest", "--zygote"],
            "env": [f"{name}={value}" for name, value in agent_environment().items() if name != "PYTHONPATH"],
            "cwd": GUEST_ROOT,  # where its code is found; neither -P nor PYTHONPATH, which people's Python has not
            "noNewPrivileges": True,
            "capabilities": {},
            "oomScoreAdj": plan.oom_score_adj,
        },
        "root": {"path": str(plan.rootfs), "readonly": False},
        "hostname": "zygote",
        "mounts": [
            # Not subset=pid: runc since 1.3 asks it for the highest capability before the process starts.
            _mount("/proc", "proc", "nosuid", "noexec", "nodev", "hidepid=2"),
            _mount("/dev", "tmpfs", "nosuid", "noexec", "mode=755", "size=64k", "ro"),
            _mount("/tmp", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=16m", "nr_inodes=4k"),  # noqa: S108
            _mount(GUEST_ROOT, "tmpfs", "nosuid", "nodev", "mode=755", "size=64k"),
            _bind(plan.guest_code, f"{GUEST_ROOT}/atoll", "ro", "noexec"),
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("network", "ipc", "uts", "mount", "cgroup")],
            "cgroupsPath": plan.cgroups_path,
            "resources": {name: value for name, value in resources.items() if name != "cpu"},
            "maskedPaths": list(MASKED_PATHS),
            "readonlyPaths": list(READONLY_PATHS),
            "seccomp": plan.seccomp,
        },
    }


def agent_arguments(python: str, disk_bytes: int) -> list[str]:
    """Give the agent's command line, as seen inside."""
    return [python, "-s", "-P", "-m", "atoll.guest", *agent_options(disk_bytes)]


def agent_options(disk_bytes: int) -> list[str]:
    """Give what the agent is told, however it was started."""
    return [
        *("--listen-fd", "3", "--data-dir", DATA_DIR),
        *("--uid", str(USER_ID), "--gid", str(USER_ID), "--file-bytes-max", str(disk_bytes)),
    ]


def agent_environment() -> dict[str, str]:
    """Give the agent's environment."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": GUEST_ROOT,
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _namespace(kind: str, path: str | None) -> dict[str, str]:
    return {"type": kind} if path is None else {"type": kind, "path": path}


def _process(plan: SandboxPlan) -> dict[str, Any]:
    return {
        "terminal": False,
        "user": {"uid": 0, "gid": 0, "umask": 0o022},
        "args": agent_arguments(plan.python, plan.limits.disk_bytes),
        "env": [f"{name}={value}" for name, value in agent_environment().items()],
        "cwd": "/",
        "noNewPrivileges": True,
        # Neither inheritable nor ambient: nothing but the agent, as root, ever has one.
        "capabilities": {kind: list(CAPABILITIES) for kind in ("bounding", "effective", "permitted")},
        # No rlimits: the OCI runtime cannot raise them where CAP_SYS_RESOURCE is missing. The agent lowers them.
        "oomScoreAdj": plan.oom_score_adj,
    }


def _mounts(plan: SandboxPlan) -> list[dict[str, Any]]:
    return [
        _mount("/proc", "proc", "nosuid", "noexec", "nodev"),
        # Made read-only once the device nodes are in it.
        _mount("/dev", "tmpfs", "nosuid", "noexec", "mode=755", "size=64k", "ro"),
        # Terminals are numbered for the whole kernel; without a limit one sandbox could take them all.
        _mount(
            "/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5", "max=64"
        ),
        _mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=64m", "nr_inodes=4k"),  # noqa: S108
        _bind(plan.data, DATA_DIR, "rw"),
        # From the run folder: a user namespace may not allow what that mount forbids, and /run forbids all three.
        _bind(plan.guest_code, f"{GUEST_ROOT}/atoll", "ro", "noexec"),
        *(_bind(plan.etc / name, f"/etc/{name}", "ro", "noexec") for name in ("hosts", "hostname", "resolv.conf")),
    ]


def _mount(target: str, kind: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": kind, "options": list(options)}


def _bind(source: Path, target: str, *more: str) -> dict[str, Any]:
    options = ["bind", *more, "nosuid", "nodev", "private"]
    return {"destination": target, "type": "bind", "source": str(source), "options": options}


def _mappings(first_host_id: int) -> list[dict[str, int]]:
    return [{"containerID": 0, "hostID": first_host_id, "size": IDS_PER_SLOT}]


def _resources(limits: SandboxSpec, *, swap_limited: bool) -> dict[str, Any]:
    memory: dict[str, Any] = {"limit": limits.memory_bytes}
    if swap_limited:
        memory["swap"] = limits.memory_bytes  # memory and swap together: none of it may be swap
    return {
        "devices": [{"allow": False, "access": "rwm"}],
        "memory": memory,
        "pids": {"limit": limits.pids_max},
        "cpu": {"period": CPU_PERIOD_US, "quota": cpu_quota_us(limits.cpus)},
    }
