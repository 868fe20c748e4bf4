"""Everything that a way out begins with is refused, to people's code and to a taken-over agent alike."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security import probe
from tests.security.conftest import Cell, Who

REFUSED = {"EPERM", "EACCES", "ENOSYS", "EROFS"}
NOT_THERE = {"ENOENT", "ENODATA", "EMPTY"}  # ENODATA: there and empty, as masked files are
NO_WAY = {"ENETUNREACH", "EHOSTUNREACH"}
ENDED = {"SIG31"}  # SIGSYS: another ABI

# Root of the user namespace, holding the agent's three capabilities, may be any user of its own and signal its own
# init, which the kernel ignores. None of that reaches anything outside.
ROOT_MAY = {
    "agent_descriptors",
    "agent_oom_score",
    "chown_root",
    "kill_agent",
    "setgid_root",
    "setgroups",
    "setuid_root",
    "stop_agent",
}


@pytest.fixture(scope="module")
def outcomes(shared_cell: Cell) -> dict[Who, dict[str, str]]:
    return {"people": shared_cell.probe("people"), "root": shared_cell.probe("root")}


@pytest.mark.parametrize("who", ["people", "root"])
@pytest.mark.parametrize("attempt", sorted(probe.ATTEMPTS))
def test_attempt_fails(outcomes: dict[Who, dict[str, str]], who: Who, attempt: str) -> None:
    if who == "root" and attempt in ROOT_MAY:
        return
    if attempt.startswith("connect_"):
        allowed = NO_WAY
    elif attempt.startswith(("x32_", "int80_")):
        allowed = ENDED
    elif attempt == "clone3":
        allowed = {"ENOSYS"}  # and not EPERM: C libraries fall back to clone only then
    else:
        allowed = REFUSED | NOT_THERE
    assert outcomes[who][attempt] in allowed


def test_the_sandbox_is_well_after_all_that(outcomes: dict[Who, dict[str, str]], shared_cell: Cell) -> None:
    shared_cell.assert_well()


@pytest.mark.parametrize("who", ["people", "root"])
def test_the_hosts_own_server_is_out_of_reach(shared_cell: Cell, who: Who) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = f"host:{server.getsockname()[1]}"
        assert shared_cell.probe(who, target) == {target: "ECONNREFUSED"}


@pytest.fixture(params=["path", "abstract"])
def host_socket(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    name = str(tmp_path / "socket") if request.param == "path" else f"\0atoll-test-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(name)  # the way is open from the host, so it is the wall that the sandbox meets
        yield name.replace("\0", "@")


@pytest.mark.parametrize("who", ["people", "root"])
def test_the_hosts_unix_sockets_are_out_of_reach(shared_cell: Cell, who: Who, host_socket: str) -> None:
    target = f"unix:{host_socket}"
    assert shared_cell.probe(who, target)[target] in {"ENOENT", "ECONNREFUSED"}


@pytest.mark.parametrize("who", ["people", "root"])
def test_the_hosts_files_are_out_of_reach(shared_cell: Cell, who: Who) -> None:
    here = Path(shared_cell.machine.home)
    targets = [
        f"read:{path}"
        for path in (
            shared_cell.machine.log_path,
            shared_cell.machine.socket_path,
            here / "data/sandboxes" / shared_cell.id / "sandbox.json",
            f"/proc/1/root{here}/log",
            f"/proc/self/root/../..{here}/log",
            f"/mnt/data/../../..{here}/log",
        )
    ]
    assert set(shared_cell.probe(who, *targets).values()) <= {"ENOENT", "EACCES"}


def test_two_sandboxes_do_not_see_each_other(shared_cell: Cell, cell: Cell) -> None:
    cell.people("echo mine > /mnt/data/mine; echo mine > /tmp/mine; nohup sleep 300 >/dev/null 2>&1 &")
    code, output = shared_cell.people("ls /mnt/data/mine /tmp/mine 2>&1; ps -eo args | grep -c '[s]leep 300'")
    assert code != 0
    assert "0" in output.splitlines()
    assert cell.machine.init_pid(cell.id) != shared_cell.init_pid
    maps = {Path(f"/proc/{pid}/uid_map").read_text() for pid in (cell.init_pid, shared_cell.init_pid)}
    assert len(maps) == 2
