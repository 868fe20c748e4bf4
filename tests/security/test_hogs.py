"""A sandbox that takes all it can gets what it was promised and no more; afterwards it is well, and so is the host."""

import ctypes
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.harness.poll import wait_until
from tests.security.conftest import SPEC, Cell

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _host_keeps_its_disk(cell: Cell) -> None:
    assert shutil.disk_usage(cell.machine.home).free > 2 << 30


def test_memory_up_to_the_limit(cell: Cell) -> None:
    assert cell.python(f"b = bytearray({200 * MIB}); print(len(b))") == (0, f"{200 * MIB}\n")
    assert cell.usage().memory_kills == 0


def test_memory_past_the_limit(cell: Cell) -> None:
    code, _ = cell.python(f"b = bytearray({SPEC.memory_bytes + 1})")
    assert code == 128 + 9
    assert cell.usage().memory_kills >= 1
    cell.assert_well()


def test_memory_that_no_process_owns(cell: Cell) -> None:
    for _ in range(3):
        code, _ = cell.python(
            "import os\nfd = os.memfd_create('hog')\n"
            f"for _ in range({SPEC.memory_bytes >> 20} + 1): os.write(fd, bytes({MIB}))"
        )
        assert code == 128 + 9
    cell.assert_well()
    wait_until(lambda: cell.usage().memory_bytes < 100 * MIB, what="the memory given back")


def test_many_processes_that_each_take_memory(cell: Cell) -> None:
    cell.python(
        f"import os\nfor _ in range(8): os.fork()\nb = bytearray({64 * MIB})\nimport time; time.sleep(1)", 20_000
    )
    cell.restart()
    cell.assert_well()


def test_processes_up_to_the_limit_and_one_past(cell: Cell) -> None:
    code, output = cell.python(
        "import os, signal\nchildren = []\n"
        "while True:\n"
        "    try: pid = os.fork()\n"
        "    except BlockingIOError: break\n"
        "    if pid == 0: signal.pause()\n"
        "    children.append(pid)\n"
        "print(len(children), int(open('/proc/loadavg').read().split()[3].split('/')[1]) > 0)\n"
        "for pid in children: os.kill(pid, 9)\n"
    )
    assert code == 0
    count = int(output.split()[0])
    assert SPEC.pids_max - 8 <= count < SPEC.pids_max
    cell.assert_well()


def test_fork_bomb(cell: Cell) -> None:
    cell.people("bomb() { bomb | bomb & }; bomb; sleep 1", 5_000)
    assert cell.usage().pids <= SPEC.pids_max
    cell.restart()
    cell.assert_well()


def test_threads_count_as_processes(cell: Cell) -> None:
    code, output = cell.python(
        "import threading, time\nn = 0\n"
        "try:\n"
        "    while True: threading.Thread(target=time.sleep, args=(30,), daemon=True).start(); n += 1\n"
        "except RuntimeError: print(n)\n"
    )
    assert code == 0
    assert int(output) < SPEC.pids_max
    cell.assert_well()


@pytest.mark.parametrize("folder", ["/mnt/data", "/tmp", "/home/sandbox"])
def test_disk(cell: Cell, folder: str) -> None:
    code, output = cell.people(f"dd if=/dev/zero of={folder}/hog bs=1M 2>&1; stat -c %s {folder}/hog; rm {folder}/hog")
    assert "No space left on device" in output
    assert 200 * MIB < int(output.split()[-1]) < SPEC.disk_bytes
    assert code == 0
    disk = cell.machine.sandboxes_dir / cell.id / "disk.ext4"
    assert disk.stat().st_blocks * 512 <= SPEC.disk_bytes
    cell.assert_well()
    # What was deleted inside is the host's again.
    cell.people("sync")
    wait_until(lambda: disk.stat().st_blocks * 512 < 64 * MIB, what="deleted blocks given back to the host")


def test_files_without_content(make_cell: Callable[..., Cell]) -> None:
    small = make_cell(replace(SPEC, disk_bytes=64 * MIB))
    code, output = small.python(
        "import errno, os\nn = 0\n"
        "try:\n"
        "    while True: os.close(os.open(f'/mnt/data/{n}', os.O_CREAT)); n += 1\n"
        "except OSError as e: print(errno.errorcode[e.errno], n)\n"
    )
    assert code == 0
    assert output.split()[0] == "ENOSPC"
    assert small.people("rm -rf /mnt/data/*; echo x > /mnt/data/x; cat /mnt/data/x") == (0, "x\n")
    small.assert_well()


def test_a_sparse_terabyte(cell: Cell) -> None:
    _, output = cell.people("truncate -s 1T /mnt/data/sparse; echo ended with $?")
    assert f"ended with {128 + signal.SIGXFSZ}" in output
    cell.assert_well()


def test_open_files(cell: Cell) -> None:
    code, output = cell.python(
        "import errno, os\nfds = []\n"
        "try:\n"
        "    while True: fds.append(os.open('/dev/null', 0))\n"
        "except OSError as e: n = len(fds); [os.close(fd) for fd in fds]; print(errno.errorcode[e.errno], n)\n"
    )
    assert code == 0
    assert output.split()[0] == "EMFILE"
    assert int(output.split()[1]) <= 1 << 20
    cell.assert_well()


def test_shared_memory_files(cell: Cell) -> None:
    _, output = cell.people("dd if=/dev/zero of=/dev/shm/hog bs=1M 2>&1; stat -c %s /dev/shm/hog; rm /dev/shm/hog")
    assert "No space left on device" in output
    assert int(output.split()[-1]) == 64 * MIB
    cell.assert_well()


def test_system_v_shared_memory(cell: Cell) -> None:
    code, output = cell.python(
        "import ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "def get(size):\n"
        "    return libc.shmget(0, ctypes.c_size_t(size), 0o600) >= 0 or errno.errorcode[ctypes.get_errno()]\n"
        f"print(get({64 * MIB} + 4096), get({64 * MIB}), get(4096))"
    )
    assert (code, output) == (0, "EINVAL True ENOSPC\n")
    # The segment went with its maker: all of it can be had again.
    assert cell.python(
        f"import ctypes; print(ctypes.CDLL(None).shmget(0, ctypes.c_size_t({64 * MIB}), 0o600) >= 0)"
    ) == (0, "True\n")
    cell.assert_well()


def test_messages_that_nobody_takes(cell: Cell) -> None:
    code, output = cell.python(
        "import ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\nn = 0\n"
        "while libc.msgget(0, 0o600) >= 0: n += 1\n"
        "print(n, errno.errorcode[ctypes.get_errno()])"
    )
    assert (code, output) == (0, "64 ENOSPC\n")
    cell.assert_well()


def test_memory_of_network_sockets(cell: Cell) -> None:
    before = _network_memory_pages()
    code, output = cell.python(
        "import socket\nserver = socket.create_server(('127.0.0.1', 0), backlog=64)\nkept = []\nn = 0\n"
        "for _ in range(48):\n"
        "    one = socket.socket()\n"
        "    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)\n"
        "    one.connect(server.getsockname())\n"
        "    other, _ = server.accept()\n"
        "    other.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)\n"
        "    one.setblocking(False)\n"
        "    kept += [one, other]\n"
        "    try:\n"
        "        while True: n += one.send(bytes(65536))\n"
        "    except BlockingIOError: pass\n"
        "print(n)\n"
        "print(open('/proc/net/sockstat').read().split('mem ')[1].split()[0])\n"
    )
    if code == 0:  # otherwise the limit of memory has ended it, where that counts sockets too
        sent, pages = map(int, output.split())
        assert sent < SPEC.memory_bytes
        assert (pages - before) * 4096 < SPEC.memory_bytes // 2
    cell.assert_well()


def _network_memory_pages() -> int:
    """Give what TCP holds on the whole machine."""
    return int(Path("/proc/net/sockstat").read_text().split("mem ")[1].split()[0])


def test_inotify(cell: Cell) -> None:
    # The kernel counts them against the host's root as well, who by default has 128 for all sandboxes and itself.
    _, output = cell.people(
        'python3 -c "import ctypes, time; print(sum(ctypes.CDLL(None).inotify_init() >= 0 for _ in range(1000)), '
        'flush=True); time.sleep(600)" > /tmp/count & while ! grep -s . /tmp/count; do sleep 0.1; done'
    )
    assert output == "1000\n"
    descriptor = ctypes.CDLL(None).inotify_init()
    assert descriptor >= 0
    os.close(descriptor)
    cell.assert_well()


def test_timers(cell: Cell) -> None:
    code, output = cell.python(
        "import ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\ntimer = ctypes.c_void_p()\nn = 0\n"
        "while n < 5000 and libc.timer_create(1, None, ctypes.byref(timer)) == 0: n += 1\n"
        "print(n, errno.errorcode[ctypes.get_errno()])"
    )
    assert (code, output.split()[1]) == (0, "EAGAIN")
    assert int(output.split()[0]) <= 1024
    # An agent that was taken over has no more of them.
    limits = Path(f"/proc/{cell.init_pid}/limits").read_text().splitlines()
    assert [line.split()[3:5] for line in limits if line.startswith("Max pending signals")] == [["1024", "1024"]]
    cell.assert_well()


def test_terminals(cell: Cell) -> None:
    code, output = cell.python(
        "import os, resource\nn = 0\ntry:\n    while n < 10000: os.openpty(); n += 1\nexcept OSError: pass\nprint(n)"
    )
    assert code == 0
    assert int(output) <= 64
    cell.assert_well()


def test_processor_share(make_cell: Callable[..., Cell]) -> None:
    half = make_cell(replace(SPEC, cpus=0.5))
    code, output = half.python(
        "import time\nend = time.monotonic() + 1.5\nstart = time.process_time()\n"
        "while time.monotonic() < end: pass\n"
        "print((time.process_time() - start) / 1.5)"
    )
    assert code == 0
    assert float(output) < 0.6


def test_kill_everything(cell: Cell) -> None:
    cell.people("kill -9 -1")
    cell.assert_well()


def test_root_inside_kills_everything(cell: Cell) -> None:
    cell.root("/bin/sh", "-c", "kill -9 -1")
    cell.assert_well()


def test_root_inside_is_limited_too(cell: Cell) -> None:
    done = cell.root("/usr/bin/python3", "-c", f"b = bytearray({SPEC.memory_bytes + 1})")
    assert done.returncode == 137
    cell.assert_well()
