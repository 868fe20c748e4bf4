"""Run a command as root of a user namespace of its own, which is nobody on the host.

Building an image runs code of strangers: maintainer scripts of packages, whatever a recipe's packages do when they
are installed. It never runs as the host's root. ``python -m atoll.images.confinement`` is a small program, started
as root, that

1. makes a user namespace whose ids 0..65535 are ``FIRST_ID``.. outside: ids that own nothing on the host;
2. gives it one folder to write in, the image's ``rootfs``, through an idmapped mount, so that what the namespace's
   root owns is owned by id 0 on disk, ready for sandboxes. The mount is in a private mount namespace: the host never
   sees it, and it is gone with the last process;
3. runs the command there, in a pid namespace that dies with this program, and this program with its parent.

``mmdebstrap --mode=unshare`` alone does not do it: started by root it leaves the user namespace out.
"""

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Final, NoReturn

from atoll import mounts
from atoll.mounts import Flags, Propagation

FIRST_ID: Final = 0x6FFF0000  # the 65536 ids below those of the sandboxes
IDS: Final = 65536
ROOTFS: Final = Path("/tmp/atoll/rootfs")  # noqa: S108 - on the private tmpfs that this program mounts on /tmp
INPUT: Final = Path("/tmp/atoll/input")  # noqa: S108 - likewise: a second folder of the host's, read-only

_STDERR: Final = 2
_PR_SET_PDEATHSIG: Final = 1
_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWUTS: Final = 0x04000000
_CLONE_NEWIPC: Final = 0x08000000
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWPID: Final = 0x20000000

_libc = ctypes.CDLL(None, use_errno=True)


def command(rootfs: Path, input_dir: Path, argv: list[str]) -> list[str]:
    """Give the argument list that runs ``argv`` confined, with ``rootfs`` at ``ROOTFS`` and ``input_dir`` at ``INPUT``.

    Start it as root; its exit status is the command's, 128 + n for signal n. Descriptors that it inherits stay open as
    long as anything confined lives, and out of the command's reach.
    """
    places = (str(rootfs), str(input_dir))
    return [sys.executable, "-P", "-m", "atoll.images.confinement", str(os.getpid()), *places, *argv]


def main(arguments: list[str]) -> NoReturn:
    """Run ``PARENT_PID ROOTFS_DIR INPUT_DIR COMMAND...`` confined and exit with its status."""
    parent, rootfs, input_dir, *argv = arguments
    _die_with_parent(int(parent))
    _keep_descriptors_from_programs()
    user_namespace = _make_user_namespace()
    try:
        _show_only(Path(rootfs), Path(input_dir), user_namespace)
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror} (the file system must support idmapped mounts: ext4, XFS, btrfs)")
    _enter(user_namespace, int(parent))
    os.environ.pop("PYTHONPATH", None)
    os.chdir("/")
    _check(_libc.unshare(_CLONE_NEWNS | _CLONE_NEWPID | _CLONE_NEWIPC | _CLONE_NEWUTS), "unshare")
    child = os.fork()
    if child == 0:
        _run_as_init(argv)
    sys.exit(_exit_status(os.waitpid(child, 0)[1]))


def _die_with_parent(parent: int) -> None:
    """Ask for SIGKILL when the parent dies, and go at once when it is dead already. ``parent`` 0 is out of sight."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        sys.exit("the process that started this one is gone")


def _keep_descriptors_from_programs() -> None:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers, not paths
        if int(name) > _STDERR:
            with contextlib.suppress(OSError):  # the one that listed them
                os.set_inheritable(int(name), False)


def _show_only(rootfs: Path, input_dir: Path, user_namespace: int) -> None:
    """Put the two folders where the command finds them, in a mount namespace that the host does not see into."""
    mounts.unshare(Propagation.PRIVATE)
    mapped = mounts.clone_idmapped(rootfs, user_namespace)
    given = mounts.clone_idmapped(input_dir, user_namespace, read_only=True)
    mounts.mount("tmpfs", "/tmp", "tmpfs", Flags.NOSUID | Flags.NODEV, "mode=1777,size=1g")  # noqa: S108
    for tree, place in ((mapped, ROOTFS), (given, INPUT)):
        place.mkdir(parents=True)
        mounts.attach(tree, place)
        os.close(tree)


def _make_user_namespace() -> int:
    """Give a descriptor of a new user namespace with the ids mapped; the process that made it is gone."""
    made_read, made_write = os.pipe()
    done_read, done_write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(done_write)
        status = _libc.unshare(_CLONE_NEWUSER)
        os.write(made_write, b"y" if status == 0 else b"n")
        os.read(done_read, 1)
        os._exit(0)
    os.close(done_read)
    try:
        if os.read(made_read, 1) != b"y":
            sys.exit("this kernel does not let root make user namespaces (user.max_user_namespaces)")
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{child}/{name}").write_text(f"0 {FIRST_ID} {IDS}\n")
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(done_write)
        os.waitpid(child, 0)
        os.close(made_read)
        os.close(made_write)


def _enter(user_namespace: int, parent: int) -> None:
    """Become root of the user namespace, with every capability in it and none outside."""
    _check(_libc.setns(user_namespace, _CLONE_NEWUSER), "setns")
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    _die_with_parent(parent)  # again: a change of ids clears it


def _run_as_init(argv: list[str]) -> NoReturn:
    """Be pid 1 of the pid namespace: run the command, reap what it leaves, end everything when it ends."""
    _die_with_parent(0)  # the parent is outside this pid namespace
    command_pid = os.posix_spawnp(argv[0], argv, os.environ)
    while True:
        pid, status = os.wait()
        if pid == command_pid:
            os._exit(_exit_status(status))


def _exit_status(wait_status: int) -> int:
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        sys.exit(f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    main(sys.argv[1:])
