"""Server and client over a real socket, with an engine that is a dictionary."""

import asyncio
import itertools
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from atoll.model.ids import SandboxId
from atoll.model.network_policy import NETWORK_DISABLED, NetworkPolicy
from atoll.model.runtime_metrics import RuntimeMetrics
from atoll.runtime.contract import (
    Capabilities,
    Measured,
    Measurement,
    NoRoomError,
    RuntimeUnavailableError,
    Sandbox,
    SandboxNotFoundError,
    SandboxNotRunningError,
    SandboxSpec,
    SandboxState,
    SpecRefusedError,
    Usage,
)
from atoll.runtime.oci.settings import OciSettings
from atoll.supervisor import wire
from atoll.supervisor.client import SupervisorClient
from atoll.supervisor.hold import holding
from atoll.supervisor.server import SupervisorServer
from atoll.supervisor.settings import SupervisorSettings
from tests.harness.poll import wait_until
from tests.harness.requirements import unmet

SPEC = SandboxSpec(memory_bytes=1 << 30, disk_bytes=8 << 30, pids_max=256, cpus=1.5)
NOBODY = 65534


MEASUREMENT = Measurement(
    memory_bytes=1,
    memory_bytes_max=None,
    cpu_s=0.25,
    cpus=1.5,
    pids=2,
    pids_max=3,
    disk_bytes=4,
    disk_bytes_max=None,
)


class MemoryEngine:
    """Keeps sandboxes in a dictionary; ``gate`` holds creates back while it is closed."""

    capabilities = Capabilities(
        name="oci", walls=True, limits=True, survives_restart=True, allowlists=True, memory_bytes_max=4 << 30
    )

    def __init__(self) -> None:
        self.sandboxes: dict[str, Sandbox] = {}
        self.networks: dict[str, NetworkPolicy] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.creating = threading.Semaphore(0)
        self.is_named: list[str] = []
        self.is_held, self.was_held = threading.Semaphore(0), threading.Semaphore(0)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def create(self, spec: SandboxSpec, network: NetworkPolicy) -> Sandbox:
        self.creating.release()
        self.gate.wait(10)
        if spec.memory_bytes > self.capabilities.memory_bytes_max:
            raise SpecRefusedError("too much")
        if spec.pids_max == 1:
            raise NoRoomError("full", retry_after_s=3)
        with self._lock:
            sandbox_id = SandboxId(f"sbx_{next(self._numbers):032x}")
            self.networks[sandbox_id] = network
            sandbox = Sandbox(id=sandbox_id, state=SandboxState.RUNNING, created_at=1.5)
            self.sandboxes[sandbox_id] = sandbox
        return sandbox

    def start(self, sandbox_id: str, network: NetworkPolicy) -> Sandbox:
        self.networks[sandbox_id] = network
        return self._find(sandbox_id)

    def set_network(self, sandbox_id: str, network: NetworkPolicy) -> None:
        self.networks[self._find(sandbox_id).id] = network

    def dial(self, sandbox_id: str) -> socket.socket:
        self._find(sandbox_id)
        ours, theirs = socket.socketpair()
        with ours:
            ours.sendall(b"hello from " + sandbox_id.encode())
        return theirs

    def observe(self, after: str) -> tuple[list[Sandbox], bool]:
        ids = sorted(sandbox_id for sandbox_id in self.sandboxes if sandbox_id > after)
        return [self.sandboxes[sandbox_id] for sandbox_id in ids[:2]], len(ids) > 2

    def usage(self, sandbox_id: str) -> Usage:
        self._find(sandbox_id)
        raise SandboxNotRunningError(sandbox_id)

    def measurement(self, sandbox_id: str) -> Measurement:
        self._find(sandbox_id)
        return MEASUREMENT

    def metrics(self) -> RuntimeMetrics:
        return RuntimeMetrics(pool_ready=1, pool_target=2, pool_hits=3, pool_misses=len(self.sandboxes))

    def stop(self, sandbox_id: str) -> None:
        raise ZeroDivisionError(sandbox_id)

    def destroy(self, sandbox_id: str) -> None:
        self.sandboxes.pop(sandbox_id, None)

    @contextmanager
    def held(self, sandbox_id: str) -> Iterator[bool]:
        self._find(sandbox_id)
        self.is_held.release()
        yield True
        self.was_held.release()

    def named(self, sandbox_id: str) -> None:
        self.is_named.append(sandbox_id)

    def _find(self, sandbox_id: str) -> Sandbox:
        try:
            return self.sandboxes[sandbox_id]
        except KeyError:
            raise SandboxNotFoundError(sandbox_id) from None


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine()


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    deep = tmp_path / ("deep" * 30)
    deep.mkdir()
    return deep / "supervisor.sock"


@pytest.fixture
def first_clients() -> list[str]:
    return []


@pytest.fixture
def serve(
    engine: MemoryEngine, socket_path: Path, first_clients: list[str]
) -> Iterator[Callable[[], SupervisorServer]]:
    served: list[SupervisorServer] = []
    settings = SupervisorSettings(
        oci=OciSettings(sandboxes_dir=socket_path.parent, run_dir=socket_path.parent, images_dir=socket_path.parent),
        socket_path=socket_path,
        server_uid=os.geteuid(),
        server_gid=os.getegid(),
    )

    def start() -> SupervisorServer:
        served.append(SupervisorServer(engine, settings, on_first_client=lambda: first_clients.append("came")))
        return served[-1]

    yield start
    for server in served:
        server.close()


@pytest.fixture
def server(serve: Callable[[], SupervisorServer]) -> SupervisorServer:
    return serve()


async def test_every_operation(server: SupervisorServer, socket_path: Path) -> None:
    client = SupervisorClient(socket_path)
    made = [await client.create(SPEC) for _ in range(5)]
    assert list(await client.observe()) == made
    assert await client.start(made[0].id) == made[0]
    stream = await client.dial(made[1].id)
    assert await stream.read(100) == b"hello from " + made[1].id.encode()
    await stream.aclose()
    with pytest.raises(SandboxNotRunningError):
        await client.usage(made[0].id)
    assert await client.measurement(made[0].id) == MEASUREMENT
    await client.destroy(made[0].id)
    with pytest.raises(SandboxNotFoundError):
        await client.start(made[0].id)
    with pytest.raises(RuntimeUnavailableError):
        await client.stop(made[0].id)
    with pytest.raises(NoRoomError) as raised:
        await client.create(SandboxSpec(memory_bytes=1, disk_bytes=1, pids_max=1, cpus=1))
    assert raised.value.retry_after_s == 3
    with pytest.raises(SpecRefusedError):
        await client.create(SandboxSpec(memory_bytes=5 << 30, disk_bytes=1, pids_max=2, cpus=1))
    await client.aclose()
    await client.aclose()


async def test_metrics(server: SupervisorServer, socket_path: Path) -> None:
    client = SupervisorClient(socket_path)
    assert isinstance(client, Measured)
    await client.create(SPEC)
    assert await client.metrics() == RuntimeMetrics(pool_ready=1, pool_target=2, pool_hits=3, pool_misses=1)
    await client.aclose()


async def test_the_first_client_is_told_of_once(
    server: SupervisorServer, socket_path: Path, first_clients: list[str]
) -> None:
    assert first_clients == []
    for _ in range(2):
        client = SupervisorClient(socket_path)
        await client.observe()
        await client.aclose()
    await asyncio.to_thread(server.close)  # every connection was welcomed by then
    assert first_clients == ["came"]


async def test_capabilities_can_be_asked_before_there_is_a_loop(server: SupervisorServer, socket_path: Path) -> None:
    assert SupervisorClient(socket_path).capabilities == MemoryEngine.capabilities


async def test_many_requests_at_once(server: SupervisorServer, engine: MemoryEngine, socket_path: Path) -> None:
    client = SupervisorClient(socket_path)
    engine.gate.clear()
    creating = [asyncio.create_task(client.create(SPEC)) for _ in range(300)]
    assert await client.observe() == []  # quick things do not wait behind slow ones
    engine.gate.set()
    made = await asyncio.gather(*creating)
    assert len({sandbox.id for sandbox in made}) == 300
    streams = await asyncio.gather(*(client.dial(sandbox.id) for sandbox in made[:100]))
    for sandbox, stream in zip(made, streams, strict=False):
        assert (await stream.read(100)).endswith(sandbox.id.encode())
        await stream.aclose()
    await client.aclose()


async def test_a_cancelled_create_is_undone(server: SupervisorServer, engine: MemoryEngine, socket_path: Path) -> None:
    client = SupervisorClient(socket_path)
    engine.gate.clear()
    creating = asyncio.create_task(client.create(SPEC))
    await asyncio.to_thread(engine.creating.acquire)
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    engine.gate.set()
    kept = await client.create(SPEC)
    await _until(lambda: list(engine.sandboxes) == [kept.id])
    await client.aclose()


async def test_a_create_whose_client_is_gone_is_undone(
    server: SupervisorServer, engine: MemoryEngine, socket_path: Path
) -> None:
    client = SupervisorClient(socket_path)
    engine.gate.clear()
    creating = asyncio.create_task(client.create(SPEC))
    await asyncio.to_thread(engine.creating.acquire)
    await client.aclose()
    with pytest.raises(RuntimeUnavailableError):
        await creating
    engine.gate.set()
    server.close()
    assert not engine.sandboxes


async def test_a_cancelled_dial_leaves_no_descriptor(
    server: SupervisorServer, engine: MemoryEngine, socket_path: Path
) -> None:
    client = SupervisorClient(socket_path)
    sandbox = await client.create(SPEC)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counts
    for _ in range(20):
        dialling = asyncio.create_task(client.dial(sandbox.id))
        await asyncio.sleep(0)
        dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling
    await client.observe()
    await _until(lambda: len(os.listdir("/proc/self/fd")) <= before)  # noqa: PTH208 - counts
    await client.aclose()


async def test_the_client_comes_back_with_its_server(serve: Callable[[], SupervisorServer], socket_path: Path) -> None:
    first = serve()
    client = SupervisorClient(socket_path)
    sandbox = await client.create(SPEC)
    await asyncio.to_thread(first.close)
    observing = asyncio.create_task(client.observe())
    await asyncio.sleep(0)
    serve()
    assert list(await observing) == [sandbox]
    await client.aclose()
    with pytest.raises(RuntimeUnavailableError):
        await client.observe()


@pytest.mark.parametrize(
    "packet", [b"{", b"[]", b'{"id": 1, "op": "rm -rf"}', b'{"id": 1, "op": "destroy", "sandbox_id": "../x"}']
)
async def test_who_does_not_speak_the_protocol_is_hung_up_on(
    server: SupervisorServer, socket_path: Path, packet: bytes
) -> None:
    client = SupervisorClient(socket_path)
    await client.observe()
    with _raw(socket_path) as raw:
        raw.send(packet)
        assert await asyncio.to_thread(raw.recv, 100) == b""
    assert await client.observe() == []
    await client.aclose()


async def test_a_packet_over_the_limit(server: SupervisorServer, socket_path: Path) -> None:
    with _raw(socket_path) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        raw.send(b'{"id": 1, "op": "capabilities"}'.ljust(wire.MESSAGE_BYTES_MAX + 1))
        answer = await asyncio.to_thread(raw.recv, 1000)
    assert answer == b"" or wire.decode_answer(answer).id == 1  # cut at the limit, where only spaces were lost


async def test_a_request_that_no_packet_can_hold_is_nobody_elses_trouble(
    server: SupervisorServer, engine: MemoryEngine, socket_path: Path
) -> None:
    client = SupervisorClient(socket_path)
    sandbox = await client.create(SPEC)
    engine.gate.clear()
    other = asyncio.ensure_future(client.create(SPEC))
    async with asyncio.timeout(30):
        with pytest.raises(RuntimeUnavailableError):
            await client.set_network(sandbox.id, NetworkPolicy("allowlist", ("x" * wire.MESSAGE_BYTES_MAX,)))
        engine.gate.set()
        await other
    await client.aclose()


def test_another_user_is_not_served(server: SupervisorServer, socket_path: Path) -> None:
    if os.geteuid() != 0:
        unmet("being another user needs root")
    assert socket_path.stat().st_mode & 0o777 == 0o660
    socket_path.chmod(0o666)  # the kernel's own check out of the way
    code = (
        "import os, socket, sys\n"
        "sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        "folder = os.open(os.path.dirname(sys.argv[1]), os.O_PATH)\n"
        "address = f'/proc/self/fd/{folder}/supervisor.sock'\n"
        f"os.setgid({NOBODY}); os.setuid(int(sys.argv[2]))\n"
        "sock.connect(address)\n"
        'try: sock.send(b\'{"id": 1, "op": "capabilities"}\'); print(len(sock.recv(1000)) > 0)\n'
        "except OSError: print(False)\n"
    )
    for uid, is_served in ((0, "True"), (NOBODY, "False")):
        command = [sys.executable, "-c", code, str(socket_path), str(uid)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == is_served


async def test_too_many_connections(server: SupervisorServer, socket_path: Path) -> None:
    raws = [_raw(socket_path) for _ in range(70)]
    wait_until(lambda: _is_hung_up(raws[-1]), what="the one too many hung up on")
    for raw in raws:
        raw.close()
    client = SupervisorClient(socket_path)
    assert await client.observe() == []
    await client.aclose()


def _is_hung_up(raw: socket.socket) -> bool:
    try:
        return raw.recv(1, socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


def _raw(path: Path) -> socket.socket:
    folder = os.open(path.parent, os.O_PATH)
    raw = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        raw.connect(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
    return raw


async def _until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, condition, what="it")


def test_a_disk_is_held_until_whoever_asked_hangs_up(
    engine: MemoryEngine, serve: Callable[[], SupervisorServer], socket_path: Path
) -> None:
    serve()
    sandbox_id = engine.create(SPEC, NETWORK_DISABLED).id
    with holding(socket_path, sandbox_id) as held:
        assert engine.is_held.acquire(timeout=30)
        assert held.is_still
        assert held.has_lasted()
        assert not engine.was_held.acquire(blocking=False)
    assert engine.was_held.acquire(timeout=30)
    with pytest.raises(SandboxNotFoundError), holding(socket_path, SandboxId("sbx_" + "f" * 32)):
        pass


def test_a_hold_does_not_outlast_its_supervisor(
    engine: MemoryEngine, serve: Callable[[], SupervisorServer], socket_path: Path
) -> None:
    server = serve()
    with holding(socket_path, engine.create(SPEC, NETWORK_DISABLED).id) as held:
        server.close()
        assert engine.was_held.acquire(timeout=30)
        assert not held.has_lasted()
