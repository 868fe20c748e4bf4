"""What ``atoll backup`` leaves when it fails, and where ``atoll restore`` may put a database."""

import signal
from pathlib import Path
from typing import NoReturn

import pytest

from atoll.backup.errors import BackupError
from atoll.backup.manifest import Entry, Manifest
from atoll.operate import backup
from atoll.settings import load


def fail_in(folder: Path) -> NoReturn:
    with backup._new(folder):
        (folder / "sandboxes" / "sbx").mkdir(parents=True)
        (folder / "sandboxes" / "sbx" / "disk.ext4").touch()
        (folder / "atoll.db").touch()
        signal.raise_signal(signal.SIGTERM)
        raise OSError("not ended")


@pytest.mark.parametrize("was_there", [False, True])
def test_a_backup_that_is_ended_leaves_nothing(tmp_path: Path, was_there: bool) -> None:
    folder, before = tmp_path / "backup", signal.getsignal(signal.SIGTERM)
    if was_there:
        folder.mkdir()
    with pytest.raises(SystemExit, match="143"):
        fail_in(folder)
    assert folder.exists() == was_there
    assert not was_there or not list(folder.iterdir())
    assert signal.getsignal(signal.SIGTERM) == before


def test_what_was_there_before_is_no_backups_to_remove(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(BackupError, match="not empty"), backup._new(tmp_path):
        pass
    assert (tmp_path / "mine").exists()


def test_a_database_in_a_file_cannot_go_to_a_server(tmp_path: Path) -> None:
    manifest = Manifest(
        atoll="0", made_at="", database_revision="1", images=(), files={"atoll.db": Entry("", 0o600, "server")}
    )

    def place(**wishes: str) -> Path | None:
        return backup._database_to_be(load({"data_dir": str(tmp_path), **wishes}, environ={}).settings, manifest)

    assert place() == tmp_path / "atoll.db"
    assert place(database_url="sqlite:////elsewhere/a.db") == Path("/elsewhere/a.db")
    with pytest.raises(BackupError, match="postgresql"):
        place(database_url="postgresql+asyncpg://localhost/atoll")
