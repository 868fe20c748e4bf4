"""``atoll doctor``: each lack is seen and has a remedy; on a machine that has all, nothing is."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from atoll.operate import diagnosis
from atoll.operate.diagnosis import Machine, Verdict, diagnose
from atoll.operate.instance_lock import InstanceLock
from atoll.operate.instance_record import write_record
from atoll.operate.listening import base_url, listen
from atoll.settings import Settings, load

MOUNTS = "22 1 8:1 / / rw - ext4 /dev/root rw\n23 22 0:5 / /a\\040b rw - nfs4 server:/x rw\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    wishes = {
        "data_dir": str(tmp_path / "data"),
        "run_dir": str(tmp_path / "run"),
        "port": "0",
        **dict.fromkeys(("user", "egress_user", "zygote_user"), "nobody"),
    }
    return load(wishes, environ={}).settings


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Give one that lacks nothing but an image."""
    root = tmp_path / "root"
    for path, text in {
        "dev/loop-control": "",
        "sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory hugetlb pids\n",
        "proc/sys/user/max_user_namespaces": "1000\n",
        "proc/filesystems": "nodev\toverlay\n",
        "proc/self/mountinfo": MOUNTS,
        "proc/meminfo": "MemTotal: 16000000 kB\nMemAvailable: 8000000 kB\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "console").mkdir()
    (root / "console/index.html").touch()
    return Machine(
        root,
        kernel_release="6.1.0-18-amd64",
        is_superuser=True,
        which=lambda name: f"/usr/bin/{name}",
        first_closed=lambda _path, _user: None,
        console=root / "console",
    )


def lacks(settings: Settings, machine: Machine) -> dict[str, Verdict]:
    found = list(diagnose(settings, machine))
    assert all(one.remedy for one in found if one.verdict is not Verdict.OK)
    return {one.name: one.verdict for one in found if one.verdict is not Verdict.OK and one.name != "image"}


def test_a_machine_that_has_all(settings: Settings, machine: Machine) -> None:
    assert lacks(settings, machine) == {}


def write(path: str, text: str) -> Callable[[Machine], Machine]:
    def change(machine: Machine) -> Machine:
        (machine.root / path).write_text(text)
        return machine

    return change


def remove(path: str) -> Callable[[Machine], Machine]:
    def change(machine: Machine) -> Machine:
        (machine.root / path).unlink()
        return machine

    return change


def as_v1(*controllers: str) -> Callable[[Machine], Machine]:
    def change(machine: Machine) -> Machine:
        (machine.root / "sys/fs/cgroup/cgroup.controllers").unlink()
        for name in controllers:
            (machine.root / "sys/fs/cgroup" / name).mkdir()
        return machine

    return change


@pytest.mark.parametrize(
    ("change", "name", "verdict"),
    [
        (lambda machine: replace(machine, is_superuser=False), "root", Verdict.PROBLEM),
        (lambda machine: replace(machine, kernel_release="5.15.0-91-generic"), "kernel", Verdict.PROBLEM),
        (
            lambda machine: replace(machine, which=lambda name: None if name == "runc" else name),
            "programs",
            Verdict.PROBLEM,
        ),
        (remove("dev/loop-control"), "loop devices", Verdict.PROBLEM),
        (write("sys/fs/cgroup/cgroup.controllers", "hugetlb\n"), "cgroups", Verdict.PROBLEM),
        (as_v1("cpu", "pids"), "cgroups", Verdict.PROBLEM),
        (write("proc/sys/user/max_user_namespaces", "0\n"), "user namespaces", Verdict.PROBLEM),
        (remove("proc/sys/user/max_user_namespaces"), "user namespaces", Verdict.PROBLEM),
        (write("proc/filesystems", "ext4\n"), "overlay", Verdict.WARNING),
        (write("proc/self/mountinfo", "22 1 0:5 / / rw - tmpfs none rw\n"), "file system", Verdict.WARNING),
        (write("proc/meminfo", "MemAvailable: 1000 kB\n"), "memory", Verdict.WARNING),
        (remove("console/index.html"), "console", Verdict.WARNING),
        (
            lambda machine: replace(machine, first_closed=lambda path, _user: path),
            "folders",
            Verdict.PROBLEM,
        ),
    ],
)
def test_what_is_missing_is_named(
    settings: Settings, machine: Machine, change: Callable[[Machine], Machine], name: str, verdict: Verdict
) -> None:
    assert lacks(settings, change(machine)) == {name: verdict}


def test_cgroup_v1_will_do(settings: Settings, machine: Machine) -> None:
    assert lacks(settings, as_v1("cpu", "memory", "pids")(machine)) == {}


def test_accounts_that_are_missing(settings: Settings, machine: Machine) -> None:
    without = replace(settings, user="nobody-of-the-name", egress_user="nor-this-one", zygote_user="nor-that-one")
    assert lacks(without, machine) == {
        "server's user": Verdict.PROBLEM,
        "network policies": Verdict.WARNING,
        "quick starts": Verdict.WARNING,
    }


def test_a_folder_that_a_start_would_refuse(settings: Settings, machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    settings.run_dir.symlink_to(tmp_path / "elsewhere")
    assert lacks(settings, machine) == {"folders": Verdict.PROBLEM}
    settings.run_dir.unlink()
    settings.data_dir.write_text("a file")
    assert lacks(settings, machine)["folders"] == Verdict.PROBLEM


def test_settings_that_an_earlier_start_does_not_go_with(settings: Settings, machine: Machine) -> None:
    settings.data_dir.mkdir()
    write_record(replace(settings, runtime="plain"))
    assert lacks(settings, machine) == {"earlier start": Verdict.PROBLEM}
    (settings.data_dir / "instance.json").unlink()
    settings.run_dir.mkdir()
    lock = InstanceLock(settings.run_dir)
    lock.take()
    assert lacks(settings, machine) == {"earlier start": Verdict.PROBLEM}
    lock.release()


def test_a_port_that_is_taken(settings: Settings, machine: Machine) -> None:
    with listen("127.0.0.1", 0) as taken:
        busy = replace(settings, port=taken.getsockname()[1])
        assert lacks(busy, machine) == {"port": Verdict.PROBLEM}


def test_a_server_is_asked(settings: Settings, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.data_dir.mkdir()
    lock = InstanceLock(settings.data_dir)
    lock.take()
    try:
        assert lacks(settings, machine) == {"server": Verdict.WARNING}
        with listen("127.0.0.1", 0) as nobody_accepts:
            lock.publish(base_url(nobody_accepts.getsockname()))
            monkeypatch.setattr(diagnosis, "_ANSWER_S", 0.1)
            assert lacks(settings, machine) == {"server": Verdict.PROBLEM}
        assert lacks(settings, machine) == {"server": Verdict.PROBLEM}
    finally:
        lock.release()


def test_a_folder_on_another_file_system(settings: Settings, machine: Machine) -> None:
    elsewhere = replace(settings, data_dir=Path("/a b/atoll"))
    assert lacks(elsewhere, machine) == {"file system": Verdict.WARNING}


@pytest.mark.parametrize("runtime", ["oci", "plain"])
def test_the_command(tmp_path: Path, runtime: str) -> None:
    home = f"/var/tmp/{tmp_path.name}-that-nobody-made"  # tmp_path is closed to others, which would be told
    done = subprocess.run(
        [sys.executable, "-m", "atoll.operate.main", "doctor", "--json", "--runtime", runtime],
        env={"PATH": "/usr/bin:/bin", "ATOLL_DATA_DIR": home, "ATOLL_PORT": "0", "PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    findings = {one["name"]: one["verdict"] for one in json.loads(done.stdout)}
    assert done.returncode == (1 if runtime == "oci" else 0)
    assert findings.get("image") == ("problem" if runtime == "oci" else None)
    assert findings["server"] == "ok"
    assert findings.get("programs") == ("ok" if runtime == "oci" else None)  # those of /usr/sbin, too
