"""What sandboxes hang on must not change under them."""

from pathlib import Path

import pytest

from atoll.operate.instance_record import OtherInstanceError, read_record, write_record
from atoll.settings import Settings


def settings(folder: Path, run: str = "run", **more: str) -> Settings:
    return Settings(data_dir=folder, run_dir=folder / run, **more)  # type: ignore[arg-type] # strings, all of them


def test_what_was_started_is_noted(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    write_record(settings(tmp_path, cgroup_parent="/x"))
    record = read_record(tmp_path)
    assert record is not None
    assert record.applied_to(settings(tmp_path, "other")) == settings(tmp_path, cgroup_parent="/x")


def test_the_run_folder_may_change_when_nothing_runs_in_the_old_one(tmp_path: Path) -> None:
    write_record(settings(tmp_path))
    write_record(settings(tmp_path, "other"))
    (tmp_path / "other/running").mkdir(parents=True)
    write_record(settings(tmp_path, "other"))
    with pytest.raises(OtherInstanceError, match=r"another run_dir and cgroup_parent\. End them with `atoll down`"):
        write_record(settings(tmp_path, "third", cgroup_parent="/x"))


def test_the_runtime_never_changes(tmp_path: Path) -> None:
    write_record(settings(tmp_path, runtime="plain"))
    with pytest.raises(OtherInstanceError, match="made with the runtime `plain`"):
        write_record(settings(tmp_path))


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"runtime": 1, "run_dir": "", "cgroup_parent": "", "oci_runtime": ""}']
)
def test_a_damaged_record_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "instance.json").write_text(content)
    with pytest.raises(OtherInstanceError, match="cannot be read"):
        read_record(tmp_path)
