"""Runs a program as a sandbox's root: ``python -m tests.security.enter PID CGROUP_PARENT SANDBOX_ID PROGRAM...``.

What ``runc exec`` does, for sandboxes whose first process is not the OCI runtime's child: the program gets what the
agent has (capabilities, filter, cgroup) and no more.
"""

import ctypes
import os
import sys

from atoll.guest.zygote import drop
from atoll.runtime.oci import cgroup, seccomp, spec
from atoll.runtime.oci.zygote import bpf
from atoll.runtime.oci.zygote.birth import CAPABILITY_NUMBERS

# NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
ALL_NAMESPACES = 0x7E020000
PR_SET_NO_NEW_PRIVS = 38


def main() -> int:
    pid, parent, sandbox_id, *program = sys.argv[1:]
    capabilities = [CAPABILITY_NUMBERS[name] for name in spec.CAPABILITIES]
    instructions = bpf.compile_profile(seccomp.profile(os.uname().machine))
    libc = ctypes.CDLL(None, use_errno=True)
    cgroup.detect(parent).add(sandbox_id, os.getpid())
    if libc.setns(os.pidfd_open(int(pid)), ALL_NAMESPACES) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    child = os.fork()
    if child == 0:
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        drop(capabilities, instructions)
        os.execve(program[0], program, {"PATH": "/usr/local/bin:/usr/bin:/bin"})  # noqa: S606 - as it should be
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main())
