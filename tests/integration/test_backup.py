"""A backup of a real server under load, and a server on what comes back."""

import hashlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from atoll.model.ids import SandboxId
from atoll.supervisor.hold import holding
from tests.harness import machine
from tests.harness.api import Api
from tests.harness.poll import wait_until
from tests.harness.server import AtollServer

CONTENT = bytes(range(256)) * 4096


@pytest.fixture(scope="module")
def server(start_server: Callable[..., Iterator[AtollServer]]) -> Iterator[AtollServer]:
    yield from start_server("oci")


@pytest.fixture
def restored(server: AtollServer) -> Iterator[AtollServer]:
    """Give a server that was never started."""
    other = AtollServer("oci")
    yield other
    if other.data_dir.exists():
        other.close()
    else:
        shutil.rmtree(other.home)


def fails(server: AtollServer, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "atoll.operate.main", *arguments],
        env=server.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    return done.stderr


def as_torn(folder: Path, manifest: dict[str, Any], disk: Path) -> None:
    """Make a backup one that has a torn copy of a disk."""
    torn = disk.rename(disk.with_name("disk.torn.ext4"))
    manifest["files"][str(torn.relative_to(folder))] = manifest["files"].pop(str(disk.relative_to(folder)))
    (folder / "manifest.json").write_text(json.dumps(manifest))


class Load:
    """People who go on working: one appends to a file, others make containers, use them and delete some."""

    def __init__(self, api: Api, writing: str) -> None:
        self._api = api
        self._writing = writing
        self._must_end = threading.Event()
        self.written = 0
        self.churned = 0

    def append(self) -> None:
        while not self._must_end.is_set():
            number = self.written + 1
            self._api.logs(self._writing, f"with open('/mnt/data/log', 'a') as f: f.write('{number}\\n')")
            self.written = number

    def churn(self) -> None:
        while not self._must_end.is_set():
            made = self._api.create("churned")["id"]
            self._api.upload(made, "f", b"content")
            self._api.logs(made, "open('/mnt/data/g', 'w').write('x')")
            file = self._api.call("POST", "/files", files={"file": ("u", b"uploaded")}, data={"purpose": "user_data"})[
                "id"
            ]
            self._api.delete(made)
            self._api.call("DELETE", f"/files/{file}")
            self.churned += 1

    def end(self) -> None:
        self._must_end.set()


def test_a_disk_that_is_held_waits_and_is_let_go_of_when_the_supervisor_dies(server: AtollServer) -> None:
    api = server.api()
    container = api.create()["id"]
    api.logs(container, "1")
    (sandbox,) = [name for name in server.sandboxes_that_run if is_behind(server, container, name)]
    with ThreadPoolExecutor(1) as pool:
        with holding(server.run_dir / "supervisor.sock", SandboxId(sandbox)) as held:
            assert held.is_still
            writing = pool.submit(api.logs, container, "print(open('/mnt/data/x', 'w').write('y' * 100))")
            server.kill("supervisor")
            wait_until(lambda: not held.has_lasted(), what="whoever holds knows of it")
        assert writing.result() == "100\n"
    wait_until(lambda: not list((server.run_dir / "still").iterdir()), what="the mark is gone")
    api.delete(container)


def test_a_backup_that_is_damaged_or_not_whole_is_refused(server: AtollServer, restored: AtollServer) -> None:
    api = server.api()
    container = api.create("small")["id"]
    folder = server.home / "damaged"
    server.atoll("backup", str(folder), "--without-images", timeout_s=300)
    assert "not empty" in fails(server, "backup", str(folder))
    assert "There is no room" in fails(server, "backup", str(server.home / "x"), "--disk-free-bytes-min", "1000TiB")
    assert not (server.home / "x").exists()
    server.atoll("backup", str(server.home / "rest"), "--without-images", "--without-database", timeout_s=300)
    assert json.loads((server.home / "rest/manifest.json").read_text())["database_revision"] is None
    assert (server.home / "rest/sandboxes").is_dir()
    (disk, *_) = sorted(folder.glob("sandboxes/*/disk.ext4"))
    with disk.open("r+b") as file:
        file.seek(1 << 20)
        file.write(b"damage")
    assert "damaged" in fails(restored, "restore", str(folder))
    assert machine.files_below(restored.data_dir) == {"atoll.lock", "blobs", "sandboxes"}
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "database_revision": "9999"}))
    assert "newer Atoll" in fails(restored, "restore", str(folder))
    (folder / "manifest.json").unlink()
    assert "no whole backup" in fails(restored, "restore", str(folder))
    as_torn(folder, manifest, disk)
    assert f"torn copies of the disks of 1 containers: {container}" in fails(restored, "restore", str(folder))
    assert machine.files_below(restored.data_dir) == {"atoll.lock", "blobs", "sandboxes"}
    restored.atoll("restore", str(folder), "--without-torn")
    assert not list((restored.data_dir / "sandboxes").iterdir())
    api.delete(container)


def test_what_is_no_data_folder_cannot_be_backed_up(tmp_path: Path, server: AtollServer) -> None:
    said = fails(server, "backup", str(tmp_path / "b"), "--data-dir", str(tmp_path))
    assert "no server was ever started on it" in said


def test_nothing_answered_for_before_is_lost(server: AtollServer, restored: AtollServer) -> None:
    api = server.api()
    made = [api.create(f"kept-{number}")["id"] for number in range(3)]
    sums = {}
    for number, container in enumerate(made):
        content = CONTENT + bytes([number])
        api.upload(container, "kept.bin", content)
        sums[container] = hashlib.sha256(content).hexdigest()
    api.logs(made[0], "import os; os.makedirs('/mnt/data/deep/er'); open('/mnt/data/deep/er/x', 'w').write('by code')")
    uploaded = api.call("POST", "/files", files={"file": ("u.txt", CONTENT)}, data={"purpose": "user_data"})["id"]
    load = Load(api, made[1])
    with ThreadPoolExecutor(2) as pool:
        working = [pool.submit(load.append), pool.submit(load.churn)]
        try:
            wait_until(lambda: load.written >= 2 and load.churned >= 1, what="the load")
            answered = load.written
            folder = server.home / "backup"
            told = server.atoll("backup", str(folder), "--without-images", timeout_s=300)
        finally:
            load.end()
        for one in working:
            one.result()
    assert "containers" in told
    for disk in folder.glob("sandboxes/*/disk.ext4"):
        checked = subprocess.run(["e2fsck", "-fn", str(disk)], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    assert not (folder / "images").exists()

    said = restored.atoll("restore", str(folder), timeout_s=300)
    assert str(restored.data_dir) in said
    assert "not empty" in fails(restored, "restore", str(folder))
    assert "runs already" in fails(server, "restore", str(folder))
    server.stop()
    server.atoll("down")  # a machine has room for one sandbox of a name
    restored.start()
    other = restored.api(server.api_key)
    listed = [container["id"] for container in other.containers()]
    assert set(made) <= set(listed)
    for container in made:
        file = other.file_at(container, "/mnt/data/kept.bin")
        assert hashlib.sha256(other.content(container, file["id"])).hexdigest() == sums[container]
    assert other.logs(made[0], "print(open('/mnt/data/deep/er/x').read())") == "by code\n"
    lines = other.logs(made[1], "print(open('/mnt/data/log').read())").split()
    assert lines == [str(number + 1) for number in range(len(lines))]
    assert len(lines) >= answered
    for container in set(listed) - {made[0], made[1]}:
        assert other.logs(container, "print(6 * 7)") == "42\n"
    assert other.send("GET", f"/files/{uploaded}/content").content == CONTENT
    assert "belongs to no container" not in restored.log_tail()
    assert "is gone with its files" not in restored.log_tail()


def is_behind(server: AtollServer, container: str, sandbox: str) -> bool:
    return f"{container} was made, on {sandbox}" in server.log_path.read_text()
