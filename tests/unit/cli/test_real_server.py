"""The command line as a newcomer uses it, against a real server: no walls, so that it runs everywhere."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.server import AtollServer
from tests.unit.cli.conftest import Atoll


@pytest.fixture
def container(plain_server: AtollServer) -> Iterator[str]:
    api = plain_server.api()
    container_id = api.create("cli-test")["id"]
    yield container_id
    api.delete(container_id)


def run(server: AtollServer, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "atoll.operate.main", *arguments],
        env=server.environment,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_as_a_program(plain_server: AtollServer, container: str, tmp_path: Path) -> None:
    done = run(plain_server, tmp_path, "sh", container, "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")


def test_a_newcomers_way(real_atoll: Atoll, container: str, tmp_path: Path) -> None:
    made = real_atoll("create", "cli-made").stdout.strip()
    assert {made, container} <= set(real_atoll("ls").stdout.split())
    assert real_atoll("rm", made).code == 0
    assert json.loads(real_atoll("show", "cli-test").stdout)["id"] == container

    done = real_atoll("run", "cli-test", "x = 40\nprint(x + 2)")
    assert (done.code, done.stdout) == (0, "42\n"), done.stderr
    done = real_atoll("run", container, "-", stdin="x + 1")
    assert (done.code, done.stdout.strip()) == (0, "41")

    done = real_atoll("sh", container, "echo out; echo err >&2; exit 7")
    assert (done.code, done.stdout, done.stderr) == (7, "out\n", "err\n")
    assert real_atoll("sh", container, "sleep 60", "--timeout", "0.2").code == 124

    (tmp_path / "in.csv").write_text("a,b\n")
    assert real_atoll("cp", "in.csv", "cli-test:").code == 0
    done = real_atoll("sh", container, "cat in.csv > out.csv")
    assert done.code == 0, done.stderr
    assert real_atoll("cp", f"{container}:out.csv", ".").code == 0
    assert (tmp_path / "out.csv").read_text() == "a,b\n"
    listed = json.loads(real_atoll("files", container, "--json").stdout)
    assert {(file["path"], file["source"]) for file in listed} == {
        ("/mnt/data/in.csv", "user"),
        ("/mnt/data/out.csv", "assistant"),
    }


def test_code_that_raises_completed_and_a_python_that_dies_did_not(real_atoll: Atoll, container: str) -> None:
    done = real_atoll("run", container, "1 / 0")
    assert done.code == 0
    assert "ZeroDivisionError" in done.stdout
    done = real_atoll("run", container, "import os; os.kill(os.getpid(), 9)")
    assert done.code == 1
    done = real_atoll("run", container, "while True: pass", "--timeout", "0.5")
    assert (done.code, "incomplete" in done.stderr) == (1, True)


def test_a_figure_becomes_a_file(real_atoll: Atoll, container: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    code = "import matplotlib.pyplot as plt\nplt.plot([1, 2]);\nplt.show()"
    done = real_atoll("run", container, code)
    assert done.code == 0, done.stderr
    assert (tmp_path / "figure-1.png").read_bytes().startswith(b"\x89PNG")


def test_stopping_from_elsewhere(real_atoll: Atoll, container: str) -> None:
    assert json.loads(real_atoll("interrupt", container).stdout)["interrupted"] is False
    real_atoll("run", container, "x = 1")
    assert real_atoll("restart", container).code == 0
    assert "NameError" in real_atoll("run", container, "x").stdout


def test_a_key_opens_until_it_is_revoked(plain_server: AtollServer, tmp_path: Path) -> None:
    made = json.loads(plain_server.atoll("keys", "create", "--name", "ci", "--project", "other", "--json"))
    assert plain_server.api(made["secret"]).containers() == []
    assert made["id"] in plain_server.atoll("keys", "list")
    assert made["secret"] not in plain_server.atoll("keys", "list", "--json")
    revoked = json.loads(plain_server.atoll("keys", "revoke", made["id"], "--json"))
    listed = {key["id"]: key for key in json.loads(plain_server.atoll("keys", "list", "--json"))}
    assert listed[made["id"]] == revoked
    assert revoked["revoked_at"] is not None
    done = run(plain_server, tmp_path, "keys", "revoke", "key_nonsense")
    assert done.returncode == 1
    assert "No such key" in done.stderr
    if os.geteuid() == 0:
        owners = {path.name: path.stat().st_uid for path in plain_server.data_dir.glob("atoll.db*")}
        assert 0 not in owners.values(), owners


def test_the_key_is_found_on_the_servers_machine(plain_server: AtollServer, tmp_path: Path) -> None:
    environment = {
        name: value
        for name, value in plain_server.environment.items()
        if name not in {"ATOLL_API_KEY", "ATOLL_BASE_URL", "ATOLL_PORT"}
    }
    done = subprocess.run(
        [sys.executable, "-m", "atoll.operate.main", "ls", "--json"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_folders_go_in_and_come_out(real_atoll: Atoll, plain_server: AtollServer, tmp_path: Path) -> None:
    container = plain_server.api().create("cli-folders")["id"]
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/a").write_text("hello")
    (tmp_path / "tree/link").symlink_to("sub/a")
    made = json.loads(real_atoll("cp", "tree", f"{container}:", "--json").stdout)
    assert (made["path"], made["files"], made["links"]) == ("/mnt/data/tree", 1, 1)
    assert real_atoll("cp", "tree/sub/a", f"{container}:tree/b").code == 0
    assert real_atoll("files", "get", container, "tree", "--to", "back").code == 0
    assert {
        str(path.relative_to(tmp_path / "back")): path.read_text() for path in (tmp_path / "back").glob("**/[abl]*")
    } == {
        "sub/a": "hello",
        "link": "hello",
        "b": "hello",
    }
    assert real_atoll("files", "rm", container, "tree/b").code == 0
    assert real_atoll("cp", f"{container}:tree/b", ".").code == 5
    assert real_atoll("cp", f"{container}:nothing/", "x").code == 5
    assert json.loads(real_atoll("egress", container, "--json").stdout) == []
    plain_server.api().delete(container)


def test_a_program_and_its_bytes(real_atoll: Atoll, container: str) -> None:
    outcome = real_atoll("exec", "-i", container, "sh", "-c", "cat; echo oops >&2; exit 3", stdin="a\x00b")
    assert (outcome.code, outcome.stdout, outcome.stderr) == (3, "a\x00b", "oops\n")
    assert (
        real_atoll("exec", "--env", "A=1 2", "--cwd", "/tmp", container, "sh", "-c", "echo $A; pwd").stdout
        == "1 2\n/tmp\n"
    )
    assert real_atoll("exec", container, "echo", "--json", "-x").stdout == "--json -x\n"
    assert real_atoll("exec", container, "sh", "-c", "kill -9 $$").code == 137
    cut = real_atoll("exec", "--max-output", "10", container, "seq", "99")
    assert (len(cut.stdout), "bytes of stdout are missing" in cut.stderr) == (10, True)
    assert "user" in real_atoll("exec", "--user", "no-such-user", container, "true").stderr
    assert real_atoll("exec", "--timeout", "0.2", container, "sleep", "60").code == 124
    assert real_atoll("exec", container, "no-such-program").code == 125
    assert json.loads(real_atoll("exec", "--json", container, "true").stdout)["outcome"] == {
        "type": "exit",
        "exit_code": 0,
    }
    assert real_atoll("exec", "--env", "A", container, "true").code == 2
