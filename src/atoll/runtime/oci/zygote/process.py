"""One zygote: started by the OCI runtime as an unprivileged user behind walls of its own."""

import array
import json
import logging
import os
import select
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atoll.runtime.oci import guest_files, rootfs, seccomp, spec, user_namespace
from atoll.runtime.oci.cgroup import Cgroups
from atoll.runtime.oci.image import Image
from atoll.runtime.oci.init_process import InitProcess
from atoll.runtime.oci.layout import Layout
from atoll.runtime.oci.oci_binary import OciBinary, OciRuntimeFailedError
from atoll.runtime.oci.slots import IDS_PER_SLOT, NOBODYS_HOST_ID
from atoll.runtime.oci.zygote import bpf
from atoll.runtime.oci.zygote.account import Account
from atoll.runtime.oci.zygote.birth import CAPABILITY_NUMBERS

_log = logging.getLogger(__name__)

# The only one at a time: two would be one user's, and could reach for each other.
NAME: Final = "zygote"
_PRELOAD_TIMEOUT_S: Final = 60.0
_FORK_TIMEOUT_S: Final = 10.0
_END_TIMEOUT_S: Final = 10.0
_MEMORY_BYTES: Final = 1 << 30
_PIDS_MAX: Final = 256
_LOOK_UP_MS: Final = 100
_REPLY_BYTES_MAX: Final = 64
_LOG_BYTES_MAX: Final = 64 << 10


class ZygoteError(Exception):
    """The zygote did not start or is gone."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a zygote is made with."""

    layout: Layout
    cgroups: Cgroups
    binary: OciBinary
    account: Account
    oom_score_adj: int


class ZygoteProcess:
    """A zygote that is ready."""

    def __init__(self, parts: Parts, image: Image, is_cancelled: Callable[[], bool]) -> None:
        """Start one and wait until everything is imported.

        Raises ``ZygoteError``, ``OciRuntimeFailedError``, ``CannotCompileError``, ``OSError``.
        """
        self.image_id = image.id
        self._parts = parts
        self._lock = threading.Lock()
        order = _order(image)
        self._clear()
        self._control, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # In memory that is charged to the zygote: what the image's code prints must not fill a disk of the host.
        log = os.memfd_create("zygote-log", os.MFD_CLOEXEC)
        try:
            with its:
                pid = _run(parts, image, its, log)
            self.process = InitProcess(pid, NAME)
            try:
                self._await_readiness(order, log, is_cancelled)
                parts.layout.zygote_ready.write_text(str(pid))
            except BaseException:
                self.close()
                raise
        finally:
            os.close(log)

    def fork(self, channel: socket.socket, user_namespace: int, listener: socket.socket) -> None:
        """Ask for a fork that speaks on ``channel``. Raises ``ZygoteError``."""
        rights = array.array("i", [channel.fileno(), user_namespace, listener.fileno()])
        try:
            with self._lock:
                self._control.sendmsg([b"fork"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], socket.MSG_NOSIGNAL)
        except OSError as error:
            raise ZygoteError(f"the zygote is gone: {error}") from error

    def close(self) -> None:
        """End it; its forks live on in their sandboxes."""
        self._parts.layout.zygote_ready.unlink(missing_ok=True)
        self.process.kill()
        self.process.wait(_END_TIMEOUT_S)
        self.process.close()
        self._control.close()
        with suppress(OSError, OciRuntimeFailedError):
            self._clear()

    def _await_readiness(self, order: bytes, log: int, is_cancelled: Callable[[], bool]) -> None:
        self._control.settimeout(_FORK_TIMEOUT_S)
        self._control.send(order)
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        deadline = time.monotonic() + _PRELOAD_TIMEOUT_S
        while not poll.poll(_LOOK_UP_MS):
            if is_cancelled() or time.monotonic() > deadline:
                raise ZygoteError("it took too long to import")
        if self._control.recv(_REPLY_BYTES_MAX) != b"ready":
            raise ZygoteError(f"it ended while it imported and said {os.pread(log, _LOG_BYTES_MAX, 0)[-400:]!r}")
        self._check()

    def _clear(self) -> None:
        clear(self._parts.layout, self._parts.cgroups, self._parts.binary)

    def _check(self) -> None:
        """Refuse one that could not be forked from: forks have only the thread that asked."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        threads = next(int(line.split()[1]) for line in lines if line.startswith("Threads:"))
        if threads != 1:
            raise ZygoteError(f"something on the image's preload list has started {threads - 1} threads")


def clear(layout: Layout, cgroups: Cgroups, binary: OciBinary) -> None:
    """Remove what an earlier zygote left, a killed supervisor's too. Raises ``OSError``, ``OciRuntimeFailedError``."""
    layout.zygote_ready.unlink(missing_ok=True)
    for pid in cgroups.processes(NAME):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    bundle = layout.bundle(NAME)
    if bundle.exists():
        binary.delete(NAME, bundle / "runtime.log")
        shutil.rmtree(bundle)
    cgroups.remove(NAME)


def _order(image: Image) -> bytes:
    """Give the message that a zygote waits for at its start."""
    machine = os.uname().machine
    value = {
        "preload": list(image.preload),
        "arguments": spec.agent_options(0),
        "environment": spec.agent_environment(),
        "capabilities": [CAPABILITY_NUMBERS[name] for name in spec.CAPABILITIES],
        "seccomp": bpf.compile_profile(seccomp.profile(machine)).hex(),
    }
    return json.dumps(value).encode()


def _run(parts: Parts, image: Image, control: socket.socket, log: int) -> int:
    layout, account = parts.layout, parts.account
    bundle = layout.bundle(NAME)
    bundle.mkdir(mode=0o700)
    with (
        user_namespace.mapping(NOBODYS_HOST_ID, IDS_PER_SLOT, (spec.USER_ID, account.uid)) as namespace,
        rootfs.scratch_staged(layout.staging / NAME, image.rootfs, account.uid, namespace) as root,
    ):
        plan = spec.ZygotePlan(
            rootfs=root,
            guest_code=guest_files.install_agent(layout.run / "guest"),
            python=image.python,
            uid=account.uid,
            gid=account.gid,
            cgroups_path=parts.cgroups.path(NAME),
            memory_bytes=_MEMORY_BYTES,
            pids_max=_PIDS_MAX,
            swap_limited=parts.cgroups.swap_limited,
            oom_score_adj=parts.oom_score_adj,
            seccomp=seccomp.zygote_profile(os.uname().machine),
        )
        (bundle / "config.json").write_text(json.dumps(spec.build_zygote(plan)))
        return parts.binary.run(NAME, bundle, listener=control.fileno(), output=log)
