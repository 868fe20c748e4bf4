"""How far a build is, read from what apt, dpkg and pip say."""

from atoll.images.debian import _Watcher
from atoll.images.progress import Progress, Stage, steady

OUTPUT = """\
I: running apt-get update...
Get:1 http://mirror.example/debian bookworm InRelease [151 kB]
0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.
Get:1 http://mirror.example/debian bookworm/main amd64 libc6 amd64 2.36-9 [2759 kB]
Get:2 http://mirror.example/debian bookworm/main amd64 dash amd64 0.5 [98 kB]
Unpacking libc6:amd64 (2.36-9) ...
Setting up libc6:amd64 (2.36-9) ...
0 upgraded, 1 newly installed, 0 to remove and 0 not upgraded.
Get:1 http://mirror.example/debian bookworm/main amd64 python3 amd64 3.11 [26 kB]
Unpacking python3 (3.11) ...
Setting up python3 (3.11) ...
Processing /tmp/wheels/numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.whl
Installing collected packages: numpy
Successfully installed numpy-2.4.6
atoll: compiling 2 files
Compiling '/usr/local/lib/python3.11/dist-packages/numpy/__init__.py'...
Compiling '/usr/local/lib/python3.11/dist-packages/numpy/version.py'...
atoll: cleaning
0 upgraded, 9 newly installed, 0 to remove and 0 not upgraded.
Unpacking more (1) ...
"""


def test_progress_names_what_is_done_and_never_falls() -> None:
    heard: list[Progress] = []
    watcher = _Watcher(steady(heard.append))
    for line in OUTPUT.splitlines(keepends=True):
        watcher.see(line)
    named = dict.fromkeys(progress.detail for progress in heard if progress.detail)
    assert list(named) == ["libc6", "dash", "python3", "numpy", "cleaning", "more"]
    fractions = [progress.fraction for progress in heard]
    assert fractions == sorted(fractions)
    assert all(0 <= fraction <= 1 for fraction in fractions)


def test_a_stage_says_only_what_can_be_seen() -> None:
    heard: list[Progress] = []
    stage = Stage(heard.append, "Step", start=0.5, end=0.6)
    for done in range(10_001):
        stage.at(done, 10_000)
    assert len(heard) <= 101
    assert heard[-1].fraction == 0.6
    stage.at(0, 10_000, "back")
    assert heard[-1] == Progress("Step", 0.6, "back")
    stage.at(5, 0, "nothing to do")
    assert heard[-1].fraction == 0.6
