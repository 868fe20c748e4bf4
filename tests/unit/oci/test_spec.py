"""The OCI spec says all that the walls promise."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from atoll.runtime.contract import SandboxSpec
from atoll.runtime.oci import seccomp, spec

PLAN = spec.SandboxPlan(
    rootfs=Path("/stage/root"),
    data=Path("/stage/data"),
    guest_code=Path("/run/guest"),
    etc=Path("/run/etc"),
    python="/usr/bin/python3",
    first_host_id=0x70010000,
    cgroups_path="/atoll/sbx_1",
    limits=SandboxSpec(memory_bytes=1 << 30, disk_bytes=8 << 30, pids_max=256, cpus=1.5),
    swap_limited=True,
    oom_score_adj=0,
    seccomp=seccomp.profile("x86_64"),
)
CONFIG = spec.build(PLAN)
MOUNTS: dict[str, dict[str, Any]] = {mount["destination"]: mount for mount in CONFIG["mounts"]}


def test_every_namespace_is_new() -> None:
    namespaces = CONFIG["linux"]["namespaces"]
    assert {item["type"] for item in namespaces} == {"pid", "network", "ipc", "uts", "mount", "user", "cgroup"}
    assert not any("path" in item for item in namespaces)


def test_ids_are_mapped_to_the_slots_range() -> None:
    for kind in ("uidMappings", "gidMappings"):
        assert CONFIG["linux"][kind] == [{"containerID": 0, "hostID": 0x70010000, "size": 65536}]


def test_the_agent_has_three_capabilities_and_can_gain_none() -> None:
    process = CONFIG["process"]
    assert process["noNewPrivileges"] is True
    assert set(process["capabilities"]) == {"bounding", "effective", "permitted"}
    for held in process["capabilities"].values():
        assert set(held) == {"CAP_KILL", "CAP_SETGID", "CAP_SETUID"}


def test_the_agents_command() -> None:
    assert CONFIG["process"]["args"] == [
        *("/usr/bin/python3", "-s", "-P", "-m", "atoll.guest", "--listen-fd", "3", "--data-dir", "/mnt/data"),
        *("--uid", "1000", "--gid", "1000", "--file-bytes-max", str(8 << 30)),
    ]
    assert "PYTHONPATH=/opt/atoll" in CONFIG["process"]["env"]
    assert "rlimits" not in CONFIG["process"]


def test_limits() -> None:
    resources = CONFIG["linux"]["resources"]
    assert resources["memory"] == {"limit": 1 << 30, "swap": 1 << 30}
    assert resources["pids"] == {"limit": 256}
    assert resources["cpu"] == {"period": 100_000, "quota": 150_000}
    assert resources["devices"] == [{"allow": False, "access": "rwm"}]


def test_a_kernel_without_swap_accounting() -> None:
    assert spec.build(replace(PLAN, swap_limited=False))["linux"]["resources"]["memory"] == {"limit": 1 << 30}


def test_a_cpu_quota_is_never_below_the_kernels_least() -> None:
    tiny = replace(PLAN, limits=replace(PLAN.limits, cpus=0.001))
    assert spec.build(tiny)["linux"]["resources"]["cpu"]["quota"] == 1000


def test_mounts() -> None:
    assert set(MOUNTS) == {
        *("/proc", "/dev", "/dev/pts", "/dev/shm", "/mnt/data", "/opt/atoll/atoll"),
        *("/etc/hosts", "/etc/hostname", "/etc/resolv.conf"),
    }
    assert "ro" in MOUNTS["/dev"]["options"]
    assert {"size=64m", "nosuid", "nodev"} <= set(MOUNTS["/dev/shm"]["options"])
    assert "max=64" in MOUNTS["/dev/pts"]["options"]


def test_what_is_the_hosts_is_read_only_and_nothing_carries_devices() -> None:
    for target, mount in MOUNTS.items():
        if mount["type"] == "bind":
            assert {"nosuid", "nodev"} <= set(mount["options"])
            assert ("ro" in mount["options"]) is (target != "/mnt/data")
            assert ("noexec" in mount["options"]) is (target != "/mnt/data")


def test_proc_is_masked() -> None:
    assert {"/proc/kcore", "/proc/keys", "/proc/kallsyms", "/proc/timer_list"} <= set(CONFIG["linux"]["maskedPaths"])
    assert {"/proc/sys", "/proc/sysrq-trigger"} <= set(CONFIG["linux"]["readonlyPaths"])


def test_a_zygotes_proc_hides_others_and_is_masked_as_a_sandboxs() -> None:
    config = spec.build_zygote(
        spec.ZygotePlan(
            rootfs=PLAN.rootfs,
            guest_code=PLAN.guest_code,
            python=PLAN.python,
            uid=999,
            gid=999,
            cgroups_path="/atoll/zygote",
            memory_bytes=1 << 30,
            pids_max=64,
            swap_limited=True,
            oom_score_adj=0,
            seccomp=PLAN.seccomp,
        )
    )
    (proc,) = (mount for mount in config["mounts"] if mount["destination"] == "/proc")
    assert "hidepid=2" in proc["options"]
    # The OCI runtime looks things up in it.
    assert not any(option.startswith("subset=") for option in proc["options"])
    for kind in ("maskedPaths", "readonlyPaths"):
        assert config["linux"][kind] == CONFIG["linux"][kind]


def test_seccomp_is_in() -> None:
    assert CONFIG["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
