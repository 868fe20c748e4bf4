"""What runs while an image is made is nobody on the host, and does not outlive the one who started it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from atoll.images import confinement
from tests.harness.poll import wait_until

pytestmark = pytest.mark.usefixtures("as_root")
SOURCE = Path(confinement.__file__).parents[2]


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    rootfs, given = tmp_path / "closed/rootfs", tmp_path / "closed/input"
    for folder in (rootfs, given):
        folder.mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    (given / "file").write_text("given")
    return rootfs, given


def run(places: tuple[Path, Path], script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        confinement.command(*places, ["sh", "-c", script]),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_root_inside_is_nobody_outside(places: tuple[Path, Path]) -> None:
    done = run(
        places, "id -u; cat /etc/shadow; test -w /etc || echo closed; test -r /root || echo closed; echo $PYTHONPATH"
    )
    assert done.stdout.split() == ["0", "closed", "closed"]
    assert "Permission denied" in done.stderr


def test_what_it_writes_has_the_ids_that_it_has_inside(places: tuple[Path, Path]) -> None:
    done = run(places, "cd /tmp/atoll/rootfs && touch mine theirs && chown 1000:33 theirs && mknod null c 1 3")
    assert done.returncode == 1  # no device was made
    owners = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in places[0].iterdir()}
    assert owners == {"mine": (0, 0), "theirs": (1000, 33)}


def test_what_it_is_given_cannot_be_changed(places: tuple[Path, Path]) -> None:
    done = run(places, "cat /tmp/atoll/input/file; touch /tmp/atoll/input/new")
    assert (done.stdout, done.returncode) == ("given", 1)
    assert [path.name for path in places[1].iterdir()] == ["file"]


def test_exit_codes_and_signals_come_through(places: tuple[Path, Path]) -> None:
    assert run(places, "exit 7").returncode == 7
    assert run(places, "kill -9 $$").returncode == 128 + 9


def test_nothing_is_mounted_on_the_host(places: tuple[Path, Path]) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    assert "/tmp/atoll" in run(places, "cat /proc/self/mountinfo").stdout
    assert Path("/proc/self/mountinfo").read_text() == before


STARTER = """
import subprocess, sys
from pathlib import Path
from atoll.images import confinement
rootfs, given, script = sys.argv[1:]
subprocess.run(confinement.command(Path(rootfs), Path(given), ["bash", "-c", script]))
"""


def descendants(word: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if word in (entry / "cmdline").read_text(errors="replace"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_all_of_it_dies_with_the_one_who_started_it(places: tuple[Path, Path]) -> None:
    word = f"atoll-confined-{os.getpid()}"
    script = f"(exec -a {word} sleep 600) & setsid bash -c 'exec -a {word} sleep 600' & echo ready; wait"
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, *(str(place) for place in places), script],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
    )
    assert starter.stdout is not None
    with starter.stdout:
        assert starter.stdout.readline() == b"ready\n"
        wait_until(lambda: len(descendants(word)) >= 4, what="everything confined running")
        starter.send_signal(signal.SIGKILL)
        starter.wait(10)
        wait_until(lambda: not descendants(word), what="the end of everything confined")


def test_descriptors_stay_open_but_out_of_reach(places: tuple[Path, Path]) -> None:
    read, write = os.pipe()
    with subprocess.Popen(
        confinement.command(*places, ["sh", "-c", "ls /proc/self/fd; read -r line"]),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=(write,),
    ) as process:
        os.close(write)
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(4)] == [b"0\n", b"1\n", b"2\n", b"3\n"]  # 3 is ls's own
        os.set_blocking(read, False)
        with pytest.raises(BlockingIOError):
            os.read(read, 1)
        process.communicate(b"\n", timeout=10)
    os.set_blocking(read, True)
    assert os.read(read, 1) == b""
    os.close(read)
