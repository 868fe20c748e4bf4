"""Children that share this process's memory: calls in a row, their results, and where there can be none."""

import errno
import os
import platform
import signal
from pathlib import Path

import pytest

from atoll.guest import vfork
from atoll.guest.vfork import Call, Vfork

WRITE, CLOSE, DUP2, EXECVE, EXIT_GROUP = 1, 3, 33, 59, 231

here = pytest.mark.skipif(platform.machine() not in vfork._CODE, reason="no machine code for this processor")


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@here
def test_calls_in_a_row_and_what_came_of_each() -> None:
    reader, writer = os.pipe()
    calls = [Call(WRITE, (writer, b"hello", 5)), Call(CLOSE, (-1,), may_fail=True), Call(EXIT_GROUP, (7,))]
    pid, results = Vfork().start(calls, signal.SIGCHLD)
    assert results[:2] == [5, -errno.EBADF]
    assert ended(pid) == 7
    assert os.read(reader, 10) == b"hello"
    os.close(reader)
    os.close(writer)


@here
def test_what_must_not_fail_ends_the_child() -> None:
    calls = [Call(CLOSE, (-1,)), Call(EXIT_GROUP, (7,))]
    pid, results = Vfork().start(calls, signal.SIGCHLD)
    assert results == [-errno.EBADF, 7]
    assert ended(pid) == 127


@here
def test_a_program_with_arguments_and_environment() -> None:
    reader, writer = os.pipe()
    arguments = [b"sh", b"-c", b"echo $1 $NAME", b"-", b"an argument"]
    program = Call(EXECVE, (b"/bin/sh", arguments, [b"NAME=a value"]), may_fail=True)
    pid, results = Vfork().start([Call(DUP2, (writer, 1)), program, Call(EXIT_GROUP, (127,))], signal.SIGCHLD)
    assert results[1] > 0
    assert ended(pid) == 0
    assert os.read(reader, 100) == b"an argument a value\n"
    os.close(reader)
    os.close(writer)


@here
def test_what_the_kernel_refuses_is_an_error() -> None:
    invalid = 0x00010000 | signal.SIGCHLD  # CLONE_THREAD without what it needs
    with pytest.raises(OSError, match="Invalid argument") as caught:
        Vfork().start([Call(EXIT_GROUP, (0,))], invalid)
    assert caught.value.errno == errno.EINVAL


def test_refused_where_the_processor_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(OSError, match="processor"):
        Vfork()


@here
def test_refused_where_a_change_of_user_opens_processes(tmp_path: Path) -> None:
    setting = tmp_path / "suid_dumpable"
    setting.write_text("1\n")
    with pytest.raises(OSError, match="open this process"):
        Vfork(setting)
