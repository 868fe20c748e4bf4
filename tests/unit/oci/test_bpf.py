"""A profile becomes a program that the kernel takes and that refuses what the profile does not name."""

import ctypes
import errno
import os

import pytest

from atoll.guest.zygote import _Program
from atoll.runtime.oci import seccomp
from atoll.runtime.oci.zygote import bpf
from atoll.runtime.oci.zygote.bpf import CannotCompileError, compile_profile

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000


def outcome_of_unshare(program: bytes, kind: int) -> int:
    """Load a program in a child; give the error of its ``unshare``, 0 for none."""
    pid = os.fork()
    if pid == 0:
        LIBC.prctl(38, 1, 0, 0, 0)
        instructions = ctypes.create_string_buffer(program, len(program))
        loaded = LIBC.prctl(
            22, 2, ctypes.byref(_Program(len(program) // 8, ctypes.cast(instructions, ctypes.c_void_p)))
        )
        os._exit(255 if loaded else (ctypes.get_errno() if LIBC.unshare(kind) else 0))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("kind", [CLONE_NEWPID, CLONE_NEWNET])
def test_a_sandbox_may_make_no_namespace(kind: int) -> None:
    program = compile_profile(seccomp.profile(os.uname().machine))
    assert len(program) % 8 == 0
    assert outcome_of_unshare(program, kind) == errno.EPERM


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a pid namespace without a user namespace")
def test_a_zygote_may_make_the_one_kind_that_its_forks_need() -> None:
    program = compile_profile(seccomp.zygote_profile(os.uname().machine))
    assert outcome_of_unshare(program, CLONE_NEWPID) == 0
    assert outcome_of_unshare(program, CLONE_NEWNET) == errno.EPERM


def test_the_same_profile_is_the_same_program() -> None:
    profile = seccomp.profile(os.uname().machine)
    assert compile_profile(profile) == compile_profile(profile)


def test_without_the_library_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpf, "_LIBRARY", "libseccomp-of-nowhere.so")
    with pytest.raises(CannotCompileError, match="libseccomp-of-nowhere"):
        compile_profile(seccomp.profile(os.uname().machine))
