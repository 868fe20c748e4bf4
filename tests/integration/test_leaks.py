"""Two hundred containers come and go, and the machine is as it was before."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.harness import machine
from tests.harness.api import Api
from tests.harness.poll import wait_until
from tests.harness.server import AtollServer, MakeServer, Role

CYCLES = 200
WARM_UP_CYCLES = 30
AT_ONCE = 8
PYTHON_EVERY = 10
ROLES: tuple[Role, ...] = ("server", "supervisor")

# Allocator and caches settle at about 1 MiB more; a leak of 100 KiB for each container would be 20 MiB.
MEMORY_GROWTH_BYTES_MAX = 6 << 20
# Connections to the database and to clients that are kept open come and go by a few.
DESCRIPTOR_GROWTH_MAX = 4


@dataclass(frozen=True)
class Held:
    """What a server holds while no container is there."""

    footprint: machine.Footprint
    files: set[str]
    supervisor_mounts: set[str]
    descriptors: dict[Role, list[str]]
    memory_bytes: dict[Role, int]


def hold(server: AtollServer) -> Held:
    """Look at everything, once deletion is through and the zygote is there."""
    wait_until((server.run_dir / "zygote.pid").exists, what="a zygote")
    wait_until(lambda: not server.sandboxes_on_disk, what="all disks removed")
    wait_until(lambda: not machine.loop_devices_below(server.home), what="all loop devices freed")
    wait_until(lambda: not any((server.data_dir / "sandboxes/.trash").iterdir()), what="the trash emptied")
    wait_until(lambda: not machine.sandbox_processes(server.cgroup_parent), what="all processes ended")
    wait_until(lambda: not server.sandboxes_that_run, what="all cgroups removed")
    pids = {role: server.pid_of(role) for role in ROLES}
    return Held(
        footprint=server.footprint(),
        files=machine.files_below(server.data_dir) | machine.files_below(server.run_dir),
        supervisor_mounts={line.split()[4] for line in machine.mounts_that_name("", pids["supervisor"])},
        descriptors={role: machine.descriptors_of(pid) for role, pid in pids.items()},
        memory_bytes={role: machine.memory_bytes(pid) for role, pid in pids.items()},
    )


def cycle(api: Api, count: int) -> None:
    """Create, fill, use and delete containers, several at once."""
    numbers = iter(range(count))
    lock = threading.Lock()

    def live() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            container_id = api.create(f"cycle {number}")["id"]
            file = api.upload(container_id, "in.bin", b"x" * 50_000)
            assert api.shell(container_id, "wc -c < in.bin; sleep 1000 &")[0]["stdout"] == "50000\n"
            if number % PYTHON_EVERY == 0:
                assert api.logs(container_id, "print(len(open('in.bin').read()))") == "50000\n"
            assert len(api.content(container_id, file["id"])) == 50_000
            api.delete(container_id)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for worker in [pool.submit(live) for _ in range(AT_ONCE)]:
            worker.result()


def test_two_hundred_containers_leave_nothing(make_server: MakeServer) -> None:
    server = make_server()
    api = server.api()
    cycle(api, WARM_UP_CYCLES)
    before = hold(server)
    cycle(api, CYCLES)
    after = hold(server)
    assert after.footprint.beyond(before.footprint) == {}
    assert after.files - before.files == set()
    assert after.supervisor_mounts - before.supervisor_mounts == set()
    for role in ROLES:
        more = len(after.descriptors[role]) - len(before.descriptors[role])
        assert more <= DESCRIPTOR_GROWTH_MAX, f"{role}: {sorted(after.descriptors[role])}"
        grown = after.memory_bytes[role] - before.memory_bytes[role]
        assert grown < MEMORY_GROWTH_BYTES_MAX, f"{role} grew by {grown >> 10} KiB"
    assert api.containers() == []


def test_a_pool_leaves_nothing(make_server: MakeServer) -> None:
    server = make_server(pool_min=2, pool_max=3)
    api = server.api()
    cycle(api, 2 * AT_ONCE)
    assert api.containers() == []
    kept = api.create()["id"]
    server.stop()
    wait_until(lambda: len(server.sandboxes_on_disk) == 1, what="all but one sandbox removed")
    assert server.sandboxes_that_run == server.sandboxes_on_disk
    assert len(machine.loop_devices_below(server.home)) == 1
    server.start()
    assert server.api().shell(kept, "echo well")[0]["stdout"] == "well\n"
