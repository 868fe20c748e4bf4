"""A process is told apart from a later one with its number."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from atoll.runtime.oci import init_process
from atoll.runtime.oci.init_process import InitGoneError, InitIdentity, InitProcess, adopt

IDENTITY = InitIdentity(pid=1, start_ticks=2, boot_id="b", slot=3)


@pytest.fixture
def running() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


@pytest.fixture
def group() -> str:
    """Give the last part of this process's cgroup, which its children share; stands for a sandbox's id."""
    return Path("/proc/self/cgroup").read_text().splitlines()[-1].rpartition("/")[2]


def test_kept_and_read(tmp_path: Path) -> None:
    path = tmp_path / "sbx_1.json"
    assert InitIdentity.read(path) is None
    IDENTITY.write(path)
    assert InitIdentity.read(path) == IDENTITY
    assert [item.name for item in tmp_path.iterdir()] == ["sbx_1.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": "x", "start_ticks": 1, "boot_id": "", "slot": 0}'])
def test_nonsense_is_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "sbx_1.json").write_text(text)
    assert InitIdentity.read(tmp_path / "sbx_1.json") is None


def test_the_same_process_is_adopted(running: "subprocess.Popen[bytes]", group: str) -> None:
    first = InitProcess(running.pid, group)
    identity = InitIdentity(pid=running.pid, start_ticks=first.start_ticks, boot_id=init_process.boot_id(), slot=0)
    again = adopt(identity, group)
    assert not again.has_ended
    assert not again.wait(0.01)
    first.kill()
    assert again.wait(10)
    again.kill()  # ending what has ended is no error
    first.close()
    again.close()


def test_another_process_is_not(running: "subprocess.Popen[bytes]", group: str) -> None:
    process = InitProcess(running.pid, group)
    identity = InitIdentity(pid=running.pid, start_ticks=process.start_ticks, boot_id=init_process.boot_id(), slot=0)
    process.close()
    for wrong in (
        replace(identity, start_ticks=identity.start_ticks - 1),
        replace(identity, boot_id="another boot"),
        replace(identity, pid=os.getpid()),
    ):
        with pytest.raises(InitGoneError):
            adopt(wrong, group)
    with pytest.raises(InitGoneError):
        adopt(identity, "sbx_of_another_cgroup")


def test_one_that_has_ended_is_not(running: "subprocess.Popen[bytes]", group: str) -> None:
    running.kill()
    running.wait()
    with pytest.raises(InitGoneError):
        InitProcess(running.pid, group)


def test_a_program_with_a_wicked_name() -> None:
    stat = "12 (a) R 1 (x) S " + " ".join(str(number) for number in range(4, 53))
    assert init_process._start_ticks(stat) == 22


def test_a_child_is_collected_when_it_is_let_go_of(group: str) -> None:
    pid = os.posix_spawn("/bin/sleep", ["sleep", "600"], {})
    process = InitProcess(pid, group)
    process.kill()
    assert process.wait(10)
    process.close()
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
