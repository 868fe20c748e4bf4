"""Folders, and holding them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from atoll.runtime.oci import layout, loop_device
from atoll.runtime.oci.layout import AlreadyLockedError, Layout

ID = "sbx_" + "0" * 32


def test_making_is_repeatable_and_private(tmp_path: Path) -> None:
    here = Layout(tmp_path / "data/sandboxes", tmp_path / "run")
    here.make()
    here.make()
    for folder in (here.trash, here.templates, here.oci_state, here.bundle(ID).parent, here.agent_socket(ID).parent):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert here.known_ids() == []
    here.folder(ID).mkdir()
    (here.sandboxes / "stray").touch()
    assert here.known_ids() == [ID]


def test_forgetting_a_run_leaves_the_rest(tmp_path: Path) -> None:
    here = Layout(tmp_path / "sandboxes", tmp_path / "run")
    here.make()
    here.folder(ID).mkdir()
    here.bundle(ID).mkdir()
    (here.bundle(ID) / "config.json").touch()
    here.identity(ID).touch()
    here.agent_socket(ID).touch()
    here.forget_run(ID)
    here.forget_run(ID)
    assert not [path for path in here.run.rglob("*") if path.name.startswith("sbx_")]
    assert here.folder(ID).exists()


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    held = layout.lock(tmp_path, 0)
    with pytest.raises(AlreadyLockedError):
        layout.lock(tmp_path, 0.1)
    os.close(held)
    os.close(layout.lock(tmp_path, 0))


def test_a_dead_holder_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from atoll.runtime.oci import layout; "
        "layout.lock(Path(sys.argv[1]), 0); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyLockedError):
            layout.lock(tmp_path, 0)
        holder.kill()
        os.close(layout.lock(tmp_path, 10))


def test_loop_devices_are_known_by_the_end_of_their_files_path(tmp_path: Path) -> None:
    def add(number: int, backing_file: str) -> None:
        folder = tmp_path / f"loop{number}" / "loop"
        folder.mkdir(parents=True)
        (folder / "backing_file").write_text(backing_file + "\n")

    (tmp_path / "loop9").mkdir()  # a free one
    add(1, f"/var/lib/atoll/sandboxes/{ID}/disk.ext4")
    assert loop_device.backs(ID, tmp_path)
    assert not loop_device.backs("sbx_" + "1" * 32, tmp_path)
    add(1_000, f"/atoll/sandboxes/sbx_{'2' * 32}/disk.ext4 (deleted)")
    assert not loop_device.backs("sbx_" + "2" * 32, tmp_path)
    for reads, writes in ((3, 0), (0, 1)):
        (tmp_path / "loop1" / "inflight").write_text(f"{reads:8} {writes:8}\n")
        assert loop_device.is_writing(ID, tmp_path) == (writes > 0)
