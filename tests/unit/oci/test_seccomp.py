"""The seccomp profile lets computing in and nothing that leads out."""

import pytest

from atoll.runtime.oci import seccomp

NEVER = [
    "acct",
    "add_key",
    "adjtimex",
    "bpf",
    "chroot",
    "clock_adjtime",
    "clock_settime",
    "delete_module",
    "fanotify_init",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "get_mempolicy",
    "init_module",
    "io_setup",
    "io_submit",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "mbind",
    "memfd_secret",
    "migrate_pages",
    "modify_ldt",
    "mount",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "name_to_handle_at",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pidfd_getfd",
    "pivot_root",
    "process_madvise",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "quotactl",
    "reboot",
    "request_key",
    "set_mempolicy",
    "setdomainname",
    "sethostname",
    "setns",
    "settimeofday",
    "swapoff",
    "swapon",
    "syslog",
    "umount",
    "umount2",
    "unshare",
    "uselib",
    "userfaultfd",
    "ustat",
    "vhangup",
]
NEEDED = [
    "execve",
    "fork",
    "futex",
    "getrandom",
    "mmap",
    "openat",
    "read",
    "rseq",
    "statx",
    "write",
    "epoll_wait",
    "timer_create",
    "memfd_create",
]


@pytest.mark.parametrize("machine", sorted(seccomp.ARCHITECTURES))
def test_what_is_not_named_is_refused(machine: str) -> None:
    profile = seccomp.profile(machine)
    assert (profile["defaultAction"], profile["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 1)
    assert profile["architectures"] == [seccomp.ARCHITECTURES[machine]]  # one: no 32-bit, no x32


def test_dangerous_calls_are_nowhere() -> None:
    named = {name for rule in seccomp.profile("x86_64")["syscalls"] for name in rule["names"]}
    assert not named & set(NEVER)
    assert set(NEEDED) <= named


def test_calls_that_are_let_in_with_conditions_are_not_let_in_without() -> None:
    assert not {"clone", "clone3", "personality", "socket"} & set(seccomp.ALLOWED)
    for rule in seccomp.profile("x86_64")["syscalls"]:
        if rule["names"] in (["clone"], ["personality"], ["socket"]):
            assert rule["args"]


def test_clone_makes_no_namespace() -> None:
    (rule,) = [rule for rule in seccomp.profile("x86_64")["syscalls"] if rule["names"] == ["clone"]]
    (condition,) = rule["args"]
    assert (condition["index"], condition["op"], condition["valueTwo"]) == (0, "SCMP_CMP_MASKED_EQ", 0)
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert condition["value"] & flag


def test_clone3_does_not_exist() -> None:
    assert {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38} in seccomp.profile("x86_64")["syscalls"]


def test_no_call_is_named_twice() -> None:
    assert len(set(seccomp.ALLOWED)) == len(seccomp.ALLOWED)


def test_an_unknown_processor() -> None:
    with pytest.raises(seccomp.UnknownArchitectureError):
        seccomp.profile("vax")
