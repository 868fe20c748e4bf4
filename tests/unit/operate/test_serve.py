"""The launcher with a stand-in for the server: starting, starting again, ending; who may, and who is told why not."""

import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from atoll.operate.instance_lock import running_instance
from tests.harness.machine import children_of, is_alive
from tests.harness.poll import wait_until
from tests.unit.operate.conftest import FAKE_SERVER, PROJECT_DIR, Home

IS_ROOT = os.geteuid() == 0

only_root = pytest.mark.skipif(not IS_ROOT, reason="a launcher that is not root does not change users")


def mode_of(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_uid, stat.S_IMODE(status.st_mode)


def test_it_says_where_it_is_and_keeps_a_key(home: Home) -> None:
    launcher = home.start()
    key = (home.data_dir / "api-key").read_text().strip()
    assert key.startswith("sk-atoll-")
    assert f"Base URL  {home.address}/v1\n  Console   {home.address}/\n" in home.said()
    assert key in home.said()
    assert "THERE ARE NO WALLS" in home.said()
    assert home.who()["key"] == key
    assert home.who()["data_dir"] == str(home.data_dir)
    launcher.send_signal(signal.SIGINT)
    assert launcher.wait(20) == 0
    assert running_instance(home.data_dir) is None

    home.start()
    assert key not in home.said()
    assert f'open("{home.data_dir}/api-key").read().strip()' in home.said()
    assert home.who()["key"] == key, "the stand-in has no database, so it is told again"
    (home.data_dir / "atoll.db").touch()
    home.end()
    home.start()
    assert home.who()["key"] is None


def test_a_key_that_is_given_counts_and_is_not_printed(home: Home) -> None:
    home.start(ATOLL_API_KEY="sk-given-by-a-script")
    assert "sk-given-by-a-script" not in home.said()
    assert (home.data_dir / "api-key").read_text() == "sk-given-by-a-script\n"
    who = home.who()
    assert who["key"] == "sk-given-by-a-script"
    assert not [name for name in who["environ"] if name.startswith("ATOLL_")]


@only_root
def test_the_server_is_an_ordinary_user_without_a_way_back(home: Home) -> None:
    home.start()
    nobody = pwd.getpwnam("nobody")
    who = home.who()
    assert (who["uid"], who["groups"]) == (nobody.pw_uid, [nobody.pw_gid])
    assert set(who["status"]["Uid"].split()) == {str(nobody.pw_uid)}
    assert (who["status"]["CapPrm"], who["status"]["NoNewPrivs"]) == ("0" * 16, "1")
    assert mode_of(home.data_dir) == (0, 0o1771)
    assert mode_of(home.data_dir / "api-key") == (nobody.pw_uid, 0o600)
    assert mode_of(home.data_dir / "blobs") == (nobody.pw_uid, 0o700)
    assert mode_of(home.folder / "run") == (0, 0o711)


def test_a_killed_server_is_started_again_and_keeps_its_port(home: Home) -> None:
    home.start()
    first = home.who()["pid"]
    os.kill(first, signal.SIGKILL)
    assert home.who()["pid"] != first  # asked at once: the question waits in the launcher's queue
    assert "the server was ended by signal 9; starting it again" in home.said()


def test_a_killed_launcher_takes_its_server_along(home: Home) -> None:
    launcher = home.start()
    children = children_of(launcher.pid)
    assert children
    launcher.kill()
    launcher.wait()
    wait_until(lambda: not [pid for pid in children if is_alive(pid)], what="the server's end")
    home.start()


def test_a_data_folder_stays_with_its_runtime(home: Home) -> None:
    home.start()
    home.end()
    record = home.data_dir / "instance.json"
    record.write_text(record.read_text().replace('"plain"', '"oci"'))
    assert "was made with the runtime `oci`" in home.refused("--runtime", "plain", "--port", "0")


def test_one_instance_for_each_data_folder(home: Home) -> None:
    launcher = home.start()
    said = home.refused("--runtime", "plain", "--port", "0")
    assert f"Atoll runs already on {home.data_dir} (process {launcher.pid})" in said


def test_a_port_in_use_is_said(home: Home) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"Port {port} on 127.0.0.1 is in use" in home.refused("--runtime", "plain", "--port", str(port))


def slow_call(home: Home, executor: ThreadPoolExecutor) -> tuple[Any, int]:
    """Have a call run; give its future answer and the FIFO's writing end, whose closing lets it finish."""
    fifo = home.folder / "fifo"
    os.mkfifo(fifo)
    fifo.chmod(0o666)
    answer = executor.submit(httpx.get, f"{home.address}/slow?{fifo}", timeout=30, trust_env=False)

    def opened() -> int | None:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return None

    writer = wait_until(opened, what="the call's begin")
    assert writer is not None
    return answer, writer


def test_sigterm_lets_a_running_call_finish(home: Home) -> None:
    launcher = home.start()
    with ThreadPoolExecutor() as executor:
        answer, writer = slow_call(home, executor)
        launcher.send_signal(signal.SIGTERM)
        wait_until(lambda: "stopping; running calls have" in home.said(), what="the server's begin to end")
        assert launcher.poll() is None
        os.close(writer)
        assert answer.result().status_code == 200
    assert launcher.wait(20) == 0


def test_a_call_has_only_so_long_when_the_server_ends(home: Home) -> None:
    launcher = home.start("--shutdown-grace-s", "0")
    with ThreadPoolExecutor() as executor:
        answer, writer = slow_call(home, executor)
        launcher.send_signal(signal.SIGTERM)
        assert isinstance(answer.exception(15), httpx.HTTPError) or answer.result().status_code == 500
        os.close(writer)
    assert launcher.wait(20) == 0


def test_a_second_ctrl_c_hurries(home: Home) -> None:
    launcher = home.start("--shutdown-grace-s", "600")
    with ThreadPoolExecutor() as executor:
        answer, writer = slow_call(home, executor)
        launcher.send_signal(signal.SIGINT)
        wait_until(lambda: "stopping; running calls have" in home.said(), what="the server's begin to end")
        launcher.send_signal(signal.SIGINT)
        assert launcher.wait(20) == 0
        os.close(writer)
        assert answer.exception(15) is not None


def test_a_server_that_cannot_start_says_why_once(home: Home) -> None:
    said = home.refused("--runtime", "plain", "--port", "0", FAKE_SERVER_FAILS="1")
    assert said.count("the fake server does not want to") == 1
    assert "giving up" in said


def test_settings_that_cannot_be_are_said_before_anything_is_made(home: Home) -> None:
    assert "port: 'x' (from --port) cannot be used" in home.refused("--port", "x")
    assert "ATOLL_API_KEY cannot be used" in home.refused(ATOLL_API_KEY="short")
    assert "ATOLL_API_KEY cannot be used" in home.refused(ATOLL_API_KEY="with spaces \n at its end ")
    assert "did you mean ATOLL_PORT?" in home.refused(ATOLL_PROT="1")
    assert not home.data_dir.exists()


def test_an_unknown_oci_runtime_is_said(home: Home) -> None:
    said = home.refused("--oci-runtime", "no-such-program")
    assert "no-such-program" in said if IS_ROOT else "start Atoll with sudo" in said


@only_root
def test_a_missing_user_is_said_with_what_to_do(home: Home) -> None:
    assert "useradd --system" in home.refused("--runtime", "plain", "--user", "no-such-user")
    assert "does not run as root" in home.refused("--runtime", "plain", "--user", "root")


@only_root
def test_a_folder_that_the_servers_user_cannot_reach_is_said(home: Home) -> None:
    home.folder.chmod(0o700)
    said = home.refused("--runtime", "plain", "--port", "0")
    assert f"'nobody', as which the server runs, cannot reach {home.data_dir}: {home.folder} is closed to it" in said


@only_root
def test_the_program_may_be_in_a_folder_that_is_closed_to_the_servers_user(home: Home) -> None:
    closed = home.folder / "closed"
    shutil.copytree(PROJECT_DIR / "src", closed / "clone/src", ignore=shutil.ignore_patterns("__pycache__"))
    closed.chmod(0o700)
    home.start(PYTHONPATH=f"{closed / 'clone/src'}:{FAKE_SERVER}")
    assert home.who()["uid"] == pwd.getpwnam("nobody").pw_uid


@only_root
def test_a_link_laid_by_the_servers_user_leads_root_nowhere(home: Home) -> None:
    home.start()
    home.end()
    target = home.folder / "target"
    target.write_text("root's own")
    (home.data_dir / "api-key").unlink()
    (home.data_dir / "api-key").symlink_to(target)
    assert "no key can be read from it" in home.refused("--runtime", "plain", "--port", "0")
    assert target.read_text() == "root's own"


def test_what_config_prints_is_what_counts(home: Home) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "atoll.operate.main", "config", "--json", "--port", "9"],
        env=home.environment(
            ATOLL_HOST="::1", ATOLL_DATABASE_URL="postgresql+asyncpg://ann:hunter2@db/x?password=hunter2"
        ),
        capture_output=True,
        check=True,
    )
    assert b"hunter2" not in done.stdout
    rows = json.loads(done.stdout)
    assert rows["port"] == {"value": 9, "from": "--port"}
    assert rows["host"] == {"value": "::1", "from": "ATOLL_HOST"}
    assert rows["database_url"]["value"] == "postgresql+asyncpg://ann:********@db/x?********"
