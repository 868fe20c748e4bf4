"""``atoll down`` with a stand-in for the server; with sandboxes it is tested where sandboxes are."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from atoll.operate.instance_lock import InstanceLock, running_instance
from tests.unit.operate.conftest import Home


def down(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    places = ["--data-dir", str(home.data_dir), "--user", "nobody"]
    return subprocess.run(
        [sys.executable, "-m", "atoll.operate.main", "down", *places, *arguments],
        env=home.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_ends_the_server_and_keeps_the_files(home: Home) -> None:
    launcher = home.start()
    done = down(home)
    assert (done.returncode, done.stdout) == (0, "")
    assert f"Ending the server (process {launcher.pid})" in done.stderr
    assert launcher.wait(20) == 0
    assert not home.run_dir.exists()
    assert (home.data_dir / "api-key").exists()


def test_it_works_when_nothing_runs(home: Home) -> None:
    assert down(home).returncode == 0
    assert not home.data_dir.exists()
    home.start()
    home.end()
    assert [down(home).returncode for _ in range(2)] == [0, 0]
    home.start()


def test_a_process_that_took_a_dead_launchers_number_is_left_alone(home: Home) -> None:
    launcher = home.start()
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    lock = home.data_dir / "atoll.lock"
    lock.write_text(lock.read_text().replace(str(launcher.pid), str(os.getpid())))
    assert running_instance(home.data_dir) is None
    assert down(home).returncode == 0


def test_a_lock_tells_who_holds_it_and_where_it_listens(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path)
    assert running_instance(tmp_path) is None
    lock.take()
    instance = running_instance(tmp_path)
    assert instance is not None
    assert (instance.pid, instance.base_url) == (os.getpid(), None)
    lock.publish("http://127.0.0.1:1/v1")
    instance = running_instance(tmp_path)
    assert instance is not None
    assert instance.base_url == "http://127.0.0.1:1/v1"
    lock.release()
    lock.release()
    assert running_instance(tmp_path) is None


def test_what_is_no_lock_is_nobodys(tmp_path: Path) -> None:
    for content in ("", "{", "[]", '{"pid": "1"}', '{"pid": 1}', '{"pid": -5}'):
        (tmp_path / "atoll.lock").write_text(content)
        assert running_instance(tmp_path) is None
