"""Deaths are noticed, once."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from atoll.runtime.oci.deaths import Deaths
from tests.harness.poll import wait_until


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as running:
        yield running
        running.kill()


def test_a_death_is_told_once(process: "subprocess.Popen[bytes]") -> None:
    told: list[str] = []
    deaths = Deaths(told.append)
    pidfd = os.pidfd_open(process.pid)
    deaths.watch(pidfd, "it")
    assert told == []
    process.kill()
    wait_until(lambda: told, what="the death told")
    deaths.forget(pidfd)
    os.close(pidfd)
    deaths.close()
    assert told == ["it"]


def test_one_that_was_dead_already_is_told_too(process: "subprocess.Popen[bytes]") -> None:
    pidfd = os.pidfd_open(process.pid)
    process.kill()
    process.wait()
    told: list[int] = []
    deaths = Deaths(told.append)
    deaths.watch(pidfd, 1)
    wait_until(lambda: told == [1], what="the death told")
    deaths.close()
    os.close(pidfd)


def test_forgotten_ones_are_not_told(process: "subprocess.Popen[bytes]") -> None:
    told: list[int] = []
    deaths = Deaths(told.append)
    pidfd = os.pidfd_open(process.pid)
    deaths.watch(pidfd, 1)
    deaths.forget(pidfd)
    deaths.forget(pidfd)
    process.kill()
    process.wait()
    deaths.close()
    os.close(pidfd)
    assert told == []
