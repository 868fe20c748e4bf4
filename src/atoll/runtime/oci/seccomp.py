"""The system calls that a sandbox may make; pure.

What is not named here is refused with EPERM. The start is the list that the OCI world runs its containers with by
default; left out of it is what computing does not need and what kernel bugs were found in again and again: io_uring,
the kernel's older asynchronous I/O (all of the machine shares 65,536 requests of it), bpf, userfaultfd, keyrings, perf
events, handles of files, every way to make or enter a namespace, mounting, tracing other processes (debuggers, py-spy
and faulthandlers that attach do not work), NUMA policies, and socket families beyond the everyday ones. Only the
machine's own ABI is let in: 32-bit and x32 calls end the process.
"""

from typing import Any, Final

_PERMISSION_DENIED: Final = 1
_NO_SUCH_CALL: Final = 38

ARCHITECTURES: Final = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}

# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. CLONE_NEWTIME cannot be given to clone().
NAMESPACE_FLAGS: Final = 0x7E020000

_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWPID: Final = 0x20000000
# What a fork joins of a sandbox beside these two: NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWNET.
_OTHER_NAMESPACES: Final = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x40000000)

_AF_NETLINK: Final = 16
_NETLINK_ROUTE: Final = 0
# Unix, IPv4, IPv6. Not: AF_ALG, AF_VSOCK (the hypervisor), packet, bluetooth, tipc and whatever else is built in.
_SOCKET_FAMILIES: Final = (1, 2, 10)
# The size of core dumps. Where the host pipes them to a handler, the kernel starts that as the host's root, on data
# from inside, unless the limit is exactly 1; the supervisor sets it so, and nobody inside may change it.
_RLIMIT_CORE: Final = 4
# PER_LINUX, and the value that asks without setting.
_PERSONALITIES: Final = (0x0, 0xFFFFFFFF)

_FILES: Final = """
    access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
    fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fremovexattr
    fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr inotify_add_watch
    inotify_init inotify_init1 inotify_rm_watch ioctl lchown lgetxattr link linkat listxattr llistxattr lremovexattr
    lseek lsetxattr lstat mkdir mkdirat mknod mknodat newfstatat open openat openat2 pread64 preadv preadv2 pwrite64
    pwritev pwritev2 read readahead readlink readlinkat readv removexattr rename renameat renameat2 rmdir sendfile
    setxattr splice stat statfs statx symlink symlinkat sync sync_file_range syncfs tee truncate umask unlink unlinkat
    utime utimensat utimes vmsplice write writev
"""
_MEMORY: Final = """
    brk madvise membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect mremap msync munlock munlockall
    munmap pkey_alloc pkey_free pkey_mprotect
"""
_PROCESSES: Final = """
    capget capset execve execveat exit exit_group fork getegid geteuid getgid getgroups getpgid getpgrp getpid getppid
    getpriority getresgid getresuid getrlimit getrusage getsid gettid getuid ioprio_get ioprio_set kill pidfd_open
    pidfd_send_signal prctl process_mrelease rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
    rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min
    sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity
    sched_setattr sched_setparam sched_setscheduler sched_yield set_robust_list get_robust_list set_tid_address
    setfsgid setfsuid setgid setgroups setitimer getitimer setpgid setpriority setregid setresgid setresuid setreuid
    setsid setuid sigaltstack tgkill tkill vfork wait4 waitid arch_prctl rseq
    landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp
"""
_WAITING: Final = """
    alarm clock_getres clock_gettime clock_nanosleep epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait
    epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 futex futex_requeue futex_wait futex_waitv futex_wake
    getcpu getrandom gettimeofday nanosleep pause pipe pipe2 poll ppoll pselect6 restart_syscall select signalfd
    signalfd4 sysinfo time timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create
    timerfd_gettime timerfd_settime times uname
"""
_TALKING: Final = """
    accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg
    sendto setsockopt shutdown socketpair mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink
    msgctl msgget msgrcv msgsnd semctl semget semop semtimedop shmat shmctl shmdt shmget
"""
ALLOWED: Final = tuple(sorted(f"{_FILES} {_MEMORY} {_PROCESSES} {_WAITING} {_TALKING}".split()))


class UnknownArchitectureError(Exception):
    """There is no list for this kind of processor."""


def profile(machine: str) -> dict[str, Any]:
    """Give ``linux.seccomp`` of an OCI spec for ``machine`` as ``uname -m`` names it.

    Raises ``UnknownArchitectureError``.
    """
    if machine not in ARCHITECTURES:
        raise UnknownArchitectureError(f"no seccomp profile for {machine}; there is one for {sorted(ARCHITECTURES)}")
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _PERMISSION_DENIED,
        "architectures": [ARCHITECTURES[machine]],
        "syscalls": [
            _allow(ALLOWED),
            _allow(("clone",), _argument(0, NAMESPACE_FLAGS, "SCMP_CMP_MASKED_EQ", 0)),
            # Its flags lie in memory, where a filter cannot look. ENOSYS makes C libraries fall back to clone.
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _NO_SUCH_CALL},
            _allow(("setrlimit",), _argument(0, _RLIMIT_CORE, "SCMP_CMP_NE")),
            _allow(("prlimit64",), _argument(1, _RLIMIT_CORE, "SCMP_CMP_NE")),
            _allow(("prlimit64",), _argument(2, 0)),  # only asks
            *(_allow(("personality",), _argument(0, value)) for value in _PERSONALITIES),
            *(_allow(("socket",), _argument(0, family)) for family in _SOCKET_FAMILIES),
            # To ask for addresses and interfaces, as C libraries do. Not netfilter's, audit's and the like.
            _allow(("socket",), _argument(0, _AF_NETLINK), _argument(2, _NETLINK_ROUTE)),
        ],
    }


def zygote_profile(machine: str) -> dict[str, Any]:
    """Give the profile of a zygote: as a sandbox's, and what a fork needs to enter one; its forks lose that again.

    Raises ``UnknownArchitectureError``.
    """
    ours = profile(machine)
    ours["syscalls"] += [
        *(_allow(("setns",), _argument(1, kind)) for kind in (_CLONE_NEWUSER, *_OTHER_NAMESPACES)),
        _allow(("unshare",), _argument(0, _CLONE_NEWPID)),
    ]
    return ours


def _allow(names: tuple[str, ...], *arguments: dict[str, Any]) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": list(names), "action": "SCMP_ACT_ALLOW"}
    return {**rule, "args": list(arguments)} if arguments else rule


def _argument(index: int, value: int, operator: str = "SCMP_CMP_EQ", value_two: int = 0) -> dict[str, Any]:
    return {"index": index, "value": value, "valueTwo": value_two, "op": operator}
