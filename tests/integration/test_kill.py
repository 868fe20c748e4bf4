"""Ends without warning, at any moment: what was answered for is there afterwards, and nothing else is."""

import contextlib
import hashlib
import itertools
import random
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
import pytest

from tests.harness import machine
from tests.harness.api import Api
from tests.harness.poll import wait_until
from tests.harness.server import AtollServer, MakeServer

WORKERS = 3
ROUNDS = [
    ("server", 7),
    ("supervisor", 9),
    ("launcher", 1),
    ("supervisor", 2),
    ("machine", 5),
    ("both", 4),
]


@dataclass
class Answered:
    """What the server has said yes to; ``files`` maps container to name to hash."""

    files: dict[str, dict[str, str]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    being_deleted: set[str] = field(default_factory=set)
    count: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def note(self, change: Callable[[], None]) -> None:
        """Write down one answer."""
        with self.changed:
            change()
            self.count += 1
            self.changed.notify_all()

    def wait_for_more(self, more: int) -> None:
        """Wait for so many answers from now on."""
        with self.changed:
            target = self.count + more
            assert self.changed.wait_for(lambda: self.count >= target, timeout=60), "no more answers come"


class Work:
    """Uses a server without pause from several threads until it is told to end, whatever happens to the server."""

    def __init__(self, server: AtollServer, answered: Answered) -> None:
        self._server = server
        self._answered = answered
        self._end = threading.Event()
        self._numbers = itertools.count()

    def run(self, seed: int) -> None:
        """Do one worker's part."""
        chance = random.Random(seed)  # noqa: S311 - meant to be the same in every run
        with Api(self._server.base_url, self._server.api_key) as api:
            while not self._end.is_set():
                try:
                    self._live(api, chance)
                except (httpx.TransportError, AssertionError):
                    self._end.wait(0.05)  # the server is away; nobody is hurt by asking again soon

    def end(self) -> None:
        """Let the workers come to their end."""
        self._end.set()

    def _live(self, api: Api, chance: random.Random) -> None:
        container_id = api.create("killed")["id"]
        self._answered.note(lambda: self._answered.files.update({container_id: {}}))
        for _ in range(chance.randrange(1, 4)):
            name = f"{next(self._numbers)}.bin"
            content = chance.randbytes(chance.choice([10, 10_000, 400_000]))
            self._write(api, container_id, name, content, by_call=chance.random() < 0.3)
        if chance.random() < 0.3:
            self._answered.being_deleted.add(container_id)
            api.delete(container_id)
            self._answered.note(lambda: self._answered.deleted.add(container_id))

    def _write(self, api: Api, container_id: str, name: str, content: bytes, *, by_call: bool) -> None:
        digest = hashlib.sha256(content).hexdigest()
        if by_call:
            content = digest.encode() * 100
            digest = hashlib.sha256(content).hexdigest()
            command = f"for n in $(seq 100); do printf %s {content[:64].decode()}; done > {name} && sync {name}"
            (output,) = api.shell(container_id, command)
            assert output["outcome"] == {"type": "exit", "exit_code": 0}, output
        else:
            api.upload(container_id, name, content)
        self._answered.note(lambda: self._answered.files[container_id].update({name: digest}))


def end(server: AtollServer, victim: str) -> None:
    """End one or more of the processes with -9, or all there are, and have the server in service again."""
    if victim in ("launcher", "machine"):
        server.kill_launcher() if victim == "launcher" else server.reboot()
        server.start()
        return
    if victim == "both":
        server.kill("server", "supervisor")
    elif victim == "server":
        server.kill("server")
    else:
        server.kill("supervisor")
    server.wait_healthy()
    wait_until(lambda: has_all_roles(server), what="server and supervisor back")


def has_all_roles(server: AtollServer) -> bool:
    """Tell whether both of the launcher's children run."""
    try:
        return bool(server.pid_of("server") and server.pid_of("supervisor"))
    except LookupError:
        return False


def check(server: AtollServer, api: Api, answered: Answered) -> None:
    """Compare what the server has with what it has answered for."""
    listed = {item["id"]: item for item in api.containers()}
    for container_id, files in answered.files.items():
        if container_id in answered.deleted:
            assert container_id not in listed, "a deleted container is listed"
            assert api.send("GET", f"/containers/{container_id}").status_code == 404
        elif container_id in listed or container_id not in answered.being_deleted:
            assert listed[container_id]["status"] == "running"
            there = {file["path"].rpartition("/")[2]: file["id"] for file in api.files(container_id)}
            for name, digest in files.items():
                assert name in there, f"{container_id} lost {name}, has {sorted(there)}"
                assert hashlib.sha256(api.content(container_id, there[name])).hexdigest() == digest, name
    for container_id in listed:
        assert api.shell(container_id, "echo works")[0]["stdout"] == "works\n", "listed, and of no use"
    one_for_each_row = dict.fromkeys(held(server), len(listed))
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: counted(held(server)) == one_for_each_row, what="one sandbox for each row")
    assert counted(held(server)) == one_for_each_row, held(server)


def held(server: AtollServer) -> dict[str, list[str]]:
    """Name what sandboxes hold of the machine."""
    return {
        "disks": sorted(server.sandboxes_on_disk),
        "loop devices": sorted(machine.loop_devices_below(server.home)),
        "cgroups": sorted(server.sandboxes_that_run),
    }


def counted(names: dict[str, list[str]]) -> dict[str, int]:
    """Count the names of each kind."""
    return {kind: len(found) for kind, found in names.items()}


def test_kill_in_the_middle_of_everything(make_server: MakeServer) -> None:
    server = make_server()
    api = server.api()
    answered = Answered()
    for seed, (victim, answers) in enumerate(ROUNDS):
        work = Work(server, answered)
        with ThreadPoolExecutor(WORKERS) as pool:
            workers = [pool.submit(work.run, seed * WORKERS + number) for number in range(WORKERS)]
            try:
                answered.wait_for_more(answers)
                end(server, victim)
                answered.wait_for_more(1)
            finally:
                work.end()
        for worker in workers:
            worker.result()
        check(server, api, answered)
        for container_id in [item["id"] for item in api.containers()][6:]:
            api.delete(container_id)
            answered.deleted.add(container_id)
    for item in api.containers():
        api.delete(item["id"])


def test_server_killed_during_a_call(make_server: MakeServer) -> None:
    server = make_server()
    api = server.api()
    container_id = api.create("calls")["id"]
    api.logs(container_id, "kept = 41")
    body = {"code": "open('begun', 'w').write('x')\nprint('on', flush=True)\nwhile True: pass", "timeout_ms": 600_000}
    with api.streamed(f"/containers/{container_id}/code_interpreter_calls", body) as events:
        next(event for event in events if event.name.endswith("_logs.delta"))
        server.kill("server")
        with pytest.raises(httpx.TransportError):
            list(events)
    server.wait_healthy()
    assert api.logs(container_id, "print(kept + 1)", timeout_ms=10_000) == "42\n", (
        "the sandbox lived on, the call ended"
    )
    assert [file["path"] for file in api.files(container_id)] == ["/mnt/data/begun"]


def test_supervisor_killed_during_a_call(make_server: MakeServer) -> None:
    server = make_server()
    api = server.api()
    container_id = api.create("calls")["id"]
    code = "import os, time\nprint('on', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('off')"
    with api.streamed(f"/containers/{container_id}/code_interpreter_calls", {"code": code}) as events:
        next(event for event in events if event.name.endswith("_logs.delta"))
        server.kill("supervisor")
        wait_until(lambda: has_all_roles(server), what="the supervisor back")
        wait_until(
            lambda: (
                api.send("POST", f"/containers/{container_id}/files", files={"file": ("go", b"")}).status_code == 200
            ),
            what="an upload through the new supervisor",
        )
        last = list(events)[-1].data
    assert last["item"]["status"] == "completed"
    assert last["item"]["outputs"] == [{"type": "logs", "logs": "on\noff\n"}]
    api.delete(container_id)
    wait_until(lambda: not machine.loop_devices_below(server.home), what="an adopted sandbox freed")


def test_sandbox_killed_from_outside(make_server: MakeServer) -> None:
    """What the machine does to a sandbox (out of memory, an operator's mistake) costs variables, not files."""
    server = make_server()
    api = server.api()
    container_id = api.create("killed sandbox")["id"]
    api.upload(container_id, "kept.txt", b"kept")
    api.logs(container_id, "gone = 1")
    for pid in machine.sandbox_processes(server.cgroup_parent):
        machine.kill_9(pid)
    wait_until(lambda: not machine.sandbox_processes(server.cgroup_parent), what="the end of the sandbox's processes")
    assert api.logs(container_id, "print(open('kept.txt').read())") == "kept\n"
    assert api.retrieve(container_id)["status"] == "running"


def test_reboot(make_server: MakeServer) -> None:
    server = make_server()
    api = server.api()
    ids = [api.create("rebooted")["id"] for _ in range(3)]
    contents = {container_id: secrets.token_bytes(300_000) for container_id in ids}
    for container_id, content in contents.items():
        api.upload(container_id, "data.bin", content)
        api.shell(container_id, "echo home > ~/in-home; sync")
    api.logs(ids[0], "variable = 1")
    server.reboot()
    server.start()
    assert {item["id"]: item["status"] for item in api.containers()} == dict.fromkeys(ids, "running")
    with ThreadPoolExecutor(len(ids)) as pool:
        for container_id, files in zip(ids, pool.map(api.files, ids), strict=True):
            (file,) = files
            assert api.content(container_id, file["id"]) == contents[container_id]
    assert "NameError" in api.logs(ids[0], "variable")
    assert api.shell(ids[1], "cat ~/in-home")[0]["stdout"] == "home\n"
    api.delete(ids[2])
    wait_until(lambda: len(server.sandboxes_on_disk) == 2, what="a deleted sandbox gone after a reboot")


def test_reboot_then_delete_without_use(make_server: MakeServer) -> None:
    server = make_server()
    api = server.api()
    container_id = api.create("never used again")["id"]
    server.reboot()
    server.start()
    api.delete(container_id)
    wait_until(lambda: not server.sandboxes_on_disk, what="its disk removed")


def test_a_killed_server_forgets_at_most_a_second_of_use(make_server: MakeServer) -> None:
    server = make_server("plain")
    api = server.api()
    used = [api.create(name)["id"] for name in "ab"]
    began = api.retrieve(used[0])["last_active_at"]
    for round_number in range(1, 4):

        def use(until: int = began + 2 * round_number) -> bool:
            moments = [api.retrieve(container_id)["last_active_at"] for container_id in used]  # each of them is used
            return bool(min(moments) >= until)

        wait_until(use, what="uses in another second")
        before = {item["id"]: item["last_active_at"] for item in api.containers()}
        server.kill("server")
        server.wait_healthy()
        after = {item["id"]: item["last_active_at"] for item in api.containers()}
        assert after.keys() == before.keys()
        assert max(before[name] - after[name] for name in before) <= 1
