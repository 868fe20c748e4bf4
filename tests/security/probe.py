"""Runs inside a sandbox and tries to get out: ``python3 probe.py ATTEMPT...`` prints ``{attempt: outcome}`` as JSON.

An outcome is the name of the error that stopped it (``EPERM``), ``SIG`` and a number when it ended the process, or
``DONE``: the attempt worked. Standard library only; a test sends the text of this file in.
"""
# It attacks the kernel with the plainest calls there are:
# ruff: noqa: PTH101, PTH123, PTH208, S103, S605

import ctypes
import errno
import json
import mmap
import os
import signal
import socket
import sys
from collections.abc import Callable

LIBC = ctypes.CDLL(None, use_errno=True)
SYSCALL = LIBC.syscall
SYSCALL.restype = ctypes.c_long
ATTEMPTS: dict[str, Callable[[], object]] = {}

CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
BUFFER = ctypes.create_string_buffer(4096)


def call(number: int, *arguments: object) -> int:
    """Make a system call of x86-64 by number."""
    result: int = SYSCALL(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def attempt(name: str) -> Callable[[Callable[[], object]], Callable[[], object]]:
    """Register a function under a name."""

    def register(function: Callable[[], object]) -> Callable[[], object]:
        ATTEMPTS[name] = function
        return function

    return register


def calling(name: str, number: int, *arguments: object) -> None:
    """Register a single system call."""
    ATTEMPTS[name] = lambda: call(number, *arguments)


def opening(name: str, path: str, flags: int = os.O_RDONLY) -> None:
    """Register opening a file, and reading from it when it is opened for that; an empty file counts as masked."""

    def read() -> None:
        descriptor = os.open(path, flags)
        if flags & os.O_ACCMODE == os.O_RDONLY and not os.read(descriptor, 64):
            raise OSError(errno.ENODATA, path)

    ATTEMPTS[name] = read


def writing(name: str, path: str, text: bytes) -> None:
    """Register writing to a file."""

    def write() -> None:
        descriptor = os.open(path, os.O_WRONLY)
        os.write(descriptor, text)

    ATTEMPTS[name] = write


# Core dumps, which a host may pipe to a handler of root's unless the limit is 1
calling("core_limit_setrlimit", 160, 4, (ctypes.c_ulong * 2)(0, 0))
calling("core_limit_prlimit", 302, 0, 4, (ctypes.c_ulong * 2)(0, 0), None)

# Mounting
calling("mount_tmpfs", 165, b"tmpfs", b"/tmp", b"tmpfs", 0, None)
calling("mount_proc", 165, b"proc", b"/tmp", b"proc", 0, None)
calling("mount_bind", 165, b"/", b"/tmp", None, 4096, None)
calling("remount_dev_writable", 165, None, b"/dev", None, 32, None)
calling("umount_masked", 166, b"/proc/kcore", 2)
calling("umount_agent", 166, b"/opt/atoll/atoll", 2)
calling("pivot_root", 155, b"/", b"/tmp")
calling("chroot", 161, b"/tmp")
calling("fsopen", 430, b"tmpfs", 0)
calling("open_tree", 428, -100, b"/", 1)
calling("move_mount", 429, -100, b"/", -100, b"/tmp", 0)
calling("mount_setattr", 442, -100, b"/", 0, BUFFER, 32)
# Namespaces
calling("unshare_user", 272, CLONE_NEWUSER)
calling("unshare_mount", 272, CLONE_NEWNS)
calling("unshare_net", 272, 0x40000000)
calling("unshare_pid", 272, 0x20000000)
calling("unshare_cgroup", 272, 0x02000000)
calling("unshare_time", 272, 0x80)
calling("clone_new_user", 56, CLONE_NEWUSER | int(signal.SIGCHLD), 0, 0, 0, 0)
calling("clone_new_mount", 56, CLONE_NEWNS | int(signal.SIGCHLD), 0, 0, 0, 0)
calling("clone3", 435, BUFFER, 88)


@attempt("setns_agent_mount")
def _setns() -> None:
    call(308, os.open("/proc/1/ns/mnt", os.O_RDONLY), 0)


@attempt("setns_own_user")
def _setns_own() -> None:
    call(308, os.open("/proc/self/ns/user", os.O_RDONLY), 0)


@attempt("setns_agent_pidfd")
def _setns_pidfd() -> None:
    call(308, os.pidfd_open(1), CLONE_NEWNS)


# The agent and other processes
calling("ptrace_agent", 101, 16, 1, 0, 0)
calling("ptrace_seize_agent", 101, 0x4206, 1, 0, 0)
calling("ptrace_traceme", 101, 0, 0, 0, 0)
calling("process_vm_readv", 310, 1, BUFFER, 1, BUFFER, 1, 0)
calling("process_vm_writev", 311, 1, BUFFER, 1, BUFFER, 1, 0)
calling("kcmp", 312, 1, 1, 0, 0, 0)
opening("agent_memory", "/proc/1/mem", os.O_RDWR)
opening("agent_environment", "/proc/1/environ")
ATTEMPTS["agent_descriptors"] = lambda: os.listdir("/proc/1/fd")
ATTEMPTS["agent_root"] = lambda: os.listdir("/proc/1/root/")
ATTEMPTS["kill_agent"] = lambda: os.kill(1, signal.SIGKILL)
ATTEMPTS["stop_agent"] = lambda: os.kill(1, signal.SIGSTOP)
writing("agent_oom_score", "/proc/1/oom_score_adj", b"1000")
ATTEMPTS["rewrite_agent_code"] = lambda: os.open("/opt/atoll/atoll/guest/protocol.py", os.O_WRONLY)
ATTEMPTS["add_agent_code"] = lambda: os.open("/opt/atoll/atoll/guest/evil.py", os.O_WRONLY | os.O_CREAT)


@attempt("pidfd_getfd_agent")
def _pidfd_getfd() -> None:
    call(438, os.pidfd_open(1), 3, 0)


# What the kernel tells and lets be set
for _name in ("kcore", "kallsyms", "keys", "timer_list", "sched_debug", "cmdline", "modules", "iomem", "interrupts"):
    opening(f"proc_{_name}", f"/proc/{_name}")
for _name in ("kmsg", "slabinfo", "vmallocinfo", "config.gz", "key-users", "kpageflags", "zoneinfo"):
    opening(f"proc_{_name}", f"/proc/{_name}")
opening("proc_pressure", "/proc/pressure/memory", os.O_RDWR)
ATTEMPTS["proc_scsi"] = lambda: os.listdir("/proc/scsi")[0]
ATTEMPTS["proc_acpi"] = lambda: os.listdir("/proc/acpi")[0]
writing("sysrq", "/proc/sysrq-trigger", b"h")
writing("core_pattern", "/proc/sys/kernel/core_pattern", b"|/bin/sh")
writing("sys_hostname", "/proc/sys/kernel/hostname", b"evil")
writing("sys_shmmax", "/proc/sys/kernel/shmmax", b"99999999999")
writing("sys_msgmni", "/proc/sys/kernel/msgmni", b"32000")
writing("sys_overcommit", "/proc/sys/vm/overcommit_memory", b"1")
writing("sys_ip_forward", "/proc/sys/net/ipv4/ip_forward", b"1")
writing("sys_max_userns", "/proc/sys/user/max_user_namespaces", b"1")
writing("uid_map", "/proc/self/uid_map", b"0 0 1")
writing("own_oom_score", "/proc/self/oom_score_adj", b"-1000")
ATTEMPTS["sysfs"] = lambda: os.listdir("/sys")[0]
ATTEMPTS["cgroupfs"] = lambda: os.listdir("/sys/fs/cgroup")[0]
writing("dev_write", "/dev/evil", b"x")
ATTEMPTS["dev_create"] = lambda: os.open("/dev/evil", os.O_WRONLY | os.O_CREAT)
ATTEMPTS["mknod_disk"] = lambda: os.mknod("/tmp/disk", 0o60600, os.makedev(7, 0))
ATTEMPTS["mknod_mem"] = lambda: os.mknod("/tmp/mem", 0o20600, os.makedev(1, 1))
ATTEMPTS["mknod_data"] = lambda: os.mknod("/mnt/data/null", 0o20600, os.makedev(1, 3))
for _name in ("kmsg", "mem", "kvm", "fuse", "loop-control", "vda", "sda", "net/tun", "console", "mapper/control"):
    opening(f"dev_{_name}", f"/dev/{_name}")
# Calls that kernels were broken by, and those that rule a machine
calling("bpf", 321, 0, BUFFER, 72)
calling("io_setup", 206, 1, (ctypes.c_ulong * 1)(0))
calling("io_uring_setup", 425, 8, BUFFER)
calling("io_uring_enter", 426, 0, 0, 0, 0, 0, 0)
calling("userfaultfd", 323, 0)
calling("keyctl", 250, 0, -3, 1, 0, 0)
calling("add_key", 248, b"user", b"a", b"b", 1, -3)
calling("request_key", 249, b"user", b"a", None, -3)
calling("perf_event_open", 298, BUFFER, 0, -1, -1, 0)
calling("open_by_handle_at", 304, -100, BUFFER, 0)
calling("name_to_handle_at", 303, -100, b"/", BUFFER, BUFFER, 0)
calling("fanotify_init", 300, 0, 0)
calling("init_module", 175, BUFFER, 10, b"")
calling("finit_module", 313, 0, b"", 0)
calling("delete_module", 176, b"loop", 0)
calling("kexec_load", 246, 0, 0, None, 0)
calling("reboot", 169, 0xFEE1DEAD, 672274793, 0x1234567, 0)
calling("swapon", 167, b"/tmp/x", 0)
calling("swapoff", 168, b"/tmp/x")
calling("settimeofday", 164, BUFFER, None)
calling("clock_settime", 227, 0, BUFFER)
calling("adjtimex", 159, BUFFER)
calling("sethostname", 170, b"evil", 4)
calling("setdomainname", 171, b"evil", 4)
calling("syslog", 103, 3, BUFFER, 100)
calling("acct", 163, None)
calling("quotactl", 179, 0, None, 0, BUFFER)
calling("iopl", 172, 3)
calling("ioperm", 173, 0, 8, 1)
calling("modify_ldt", 154, 0, BUFFER, 16)
calling("personality", 135, 0x0040000)
calling("lookup_dcookie", 212, 0, BUFFER, 10)
calling("set_mempolicy", 238, 0, None, 0)
calling("move_pages", 279, 1, 0, None, None, None, 0)
calling("migrate_pages", 256, 1, 0, None, None)
calling("vhangup", 153)
calling("memfd_secret", 447, 0)
calling("process_madvise", 440, 0, BUFFER, 1, 4, 0)
calling("x32_getpid", 0x40000000 | 39)


@attempt("int80_getpid")
def _int80() -> None:
    """Call the 32-bit kernel from 64-bit code: mov eax, 20; int 0x80; ret."""
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    result = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    if result < 0:
        raise OSError(-result, "")


# Becoming more
ATTEMPTS["setuid_root"] = lambda: os.setresuid(0, 0, 0)
ATTEMPTS["setgid_root"] = lambda: os.setresgid(0, 0, 0)
ATTEMPTS["setgroups"] = lambda: os.setgroups([0])
ATTEMPTS["chown_root"] = lambda: os.chown("/tmp", 0, 0)
ATTEMPTS["chown_passwd"] = lambda: os.chown("/etc/passwd", 1000, 1000)


@attempt("capset_all")
def _capset() -> None:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    everything = (ctypes.c_uint32 * 6)(*([0xFFFFFFFF] * 6))
    call(126, header, everything)


@attempt("setuid_program")
def _setuid_program() -> None:
    """Run a copy of a program that says whom it runs as, setuid."""
    with open("/usr/bin/id", "rb") as source, open("/tmp/id", "wb") as target:
        target.write(source.read())
    os.chmod("/tmp/id", 0o4755)
    if os.popen("/tmp/id -u").read().strip() == str(os.getuid()):
        raise PermissionError(errno.EPERM, "")


# The network
def connecting(name: str, family: int, address: object) -> None:
    """Register connecting to somewhere."""

    def connect() -> None:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.settimeout(3)
            sock.connect(address)  # type: ignore[arg-type] # an address of any family

    ATTEMPTS[name] = connect


connecting("connect_internet", socket.AF_INET, ("1.1.1.1", 80))
connecting("connect_metadata", socket.AF_INET, ("169.254.169.254", 80))
connecting("connect_internet_v6", socket.AF_INET6, ("2606:4700:4700::1111", 80))
ATTEMPTS["socket_packet"] = lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
ATTEMPTS["socket_raw"] = lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
ATTEMPTS["socket_ping"] = lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
ATTEMPTS["socket_alg"] = lambda: socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)
ATTEMPTS["socket_vsock"] = lambda: socket.socket(40, socket.SOCK_STREAM)
ATTEMPTS["socket_netfilter"] = lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
ATTEMPTS["socket_kcm"] = lambda: socket.socket(41, socket.SOCK_DGRAM)
ATTEMPTS["socket_xdp"] = lambda: socket.socket(44, socket.SOCK_RAW)


def run(name: str) -> str:
    """Try in a child, so that nothing that an attempt does to itself touches the next; give the outcome."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(20)
            ATTEMPTS[name]()
            outcome = "DONE"
        except OSError as error:
            outcome = errno.errorcode.get(error.errno or 0, type(error).__name__)
        except IndexError:
            outcome = "EMPTY"
        os.write(writer, outcome.encode())
        os._exit(0)
    os.close(writer)
    outcome = os.read(reader, 100).decode()
    os.close(reader)
    _, status = os.waitpid(pid, 0)
    return outcome or f"SIG{os.WTERMSIG(status)}"


def main() -> None:
    """Run what the command line names, or all; ``host:PORT``, ``unix:PATH`` and ``read:PATH`` name targets."""
    wanted = [name for name in sys.argv[1:] if name] or list(ATTEMPTS)
    for name in wanted:
        kind, _, target = name.partition(":")
        if kind == "host":
            connecting(name, socket.AF_INET, ("127.0.0.1", int(target)))
        elif kind == "unix":
            connecting(name, socket.AF_UNIX, target.replace("@", "\0"))
        elif kind == "read":
            opening(name, target)
    print(json.dumps({name: run(name) for name in wanted}))


if __name__ == "__main__":
    main()
