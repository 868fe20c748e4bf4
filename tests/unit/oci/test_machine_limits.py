"""The machine's own limits are only ever raised, and a machine that refuses is told of."""

from pathlib import Path

import pytest

from atoll.runtime.oci import machine_limits

FILES, PIDS = "fs/file-max", "kernel/pid_max"
DEFAULTS = {FILES: 2_466_170, PIDS: 32_768, "fs/inotify/max_user_instances": 128, "fs/inotify/max_user_watches": 8192}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, value in DEFAULTS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")
    return tmp_path


def test_low_ones_are_raised(root: Path) -> None:
    machine_limits.raise_all(root)
    assert {name: int((root / name).read_text()) for name in DEFAULTS} == machine_limits.LEAST


def test_high_ones_are_left_alone(root: Path) -> None:
    for name, value in machine_limits.LEAST.items():
        (root / name).write_text(f"{value + 1}\n")
    machine_limits.raise_all(root)
    assert {name: (root / name).read_text() for name in machine_limits.LEAST} == {
        name: f"{value + 1}\n" for name, value in machine_limits.LEAST.items()
    }


def test_one_that_cannot_be_raised_is_told_of(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / FILES).unlink()
    machine_limits.raise_all(root)
    assert "cannot raise fs.file-max" in caplog.text
    assert int((root / PIDS).read_text()) == machine_limits.LEAST[PIDS]
