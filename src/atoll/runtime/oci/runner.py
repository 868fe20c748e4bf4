"""Brings one sandbox up and tidies after it; knows nothing of the others."""

import json
import logging
import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Final, Literal

from atoll.runtime.oci import (
    agent_socket,
    guest_files,
    init_process,
    ipc_limits,
    loop_device,
    orphans,
    rootfs,
    seccomp,
    spec,
    user_namespace,
    warming,
)
from atoll.runtime.oci.box import Run
from atoll.runtime.oci.cgroup import Cgroups
from atoll.runtime.oci.disk import DISK_NAME, DiskMaker
from atoll.runtime.oci.image import Image
from atoll.runtime.oci.init_process import InitIdentity, InitProcess
from atoll.runtime.oci.layout import Layout
from atoll.runtime.oci.oci_binary import OciBinary, OciRuntimeFailedError
from atoll.runtime.oci.record import Record
from atoll.runtime.oci.slots import IDS_PER_SLOT, first_host_id
from atoll.runtime.oci.stopwatch import Stopwatch
from atoll.runtime.oci.zygote import account
from atoll.runtime.oci.zygote.birth import Birth, BirthError
from atoll.runtime.oci.zygote.keeper import Prospect, Zygotes
from atoll.runtime.oci.zygote.namespace_maker import NamespaceMaker, NamespaceMakerError
from atoll.runtime.oci.zygote.process import Parts, ZygoteError, ZygoteProcess
from atoll.runtime.oci.zygote.process import clear as clear_zygote

_log = logging.getLogger(__name__)

# After any of them a cold start is tried, which says what is wrong with the machine if it is that.
_FORK_FAILURES: Final = (
    ZygoteError,
    BirthError,
    NamespaceMakerError,
    OciRuntimeFailedError,
    init_process.InitGoneError,
    ProcessLookupError,
)
_END_TIMEOUT_S: Final = 20.0
_PAUSE_S: Final = 0.01


class StillThereError(Exception):
    """Something of a sandbox did not go away in time."""


class Runner:
    """Acts on the kernel for one sandbox at a time; calls for different sandboxes may run side by side."""

    def __init__(
        self,
        layout: Layout,
        cgroups: Cgroups,
        binary: OciBinary,
        *,
        zygote_user: str | None,
        on_zygote: Callable[[], None],
    ) -> None:
        """Needs folders made and a mount namespace of this process's own. ``on_zygote``: there is one to fork from."""
        self._layout = layout
        self._cgroups = cgroups
        self._binary = binary
        self._disks = DiskMaker(layout.templates, spec.USER_ID)
        self._seccomp = seccomp.profile(os.uname().machine)
        self._guest_code = guest_files.install_agent(layout.run / "guest")
        self._etc = guest_files.install_etc(layout.run / "etc")
        self._boot_id = init_process.boot_id()
        # As killable as this process or more, never less: lowering it takes a power that may be missing.
        self._oom_score_adj = max(0, int(Path("/proc/self/oom_score_adj").read_text()))
        rootfs.prepare_staging(layout.staging)
        with suppress(OSError, OciRuntimeFailedError):  # tried again before the next one
            clear_zygote(layout, cgroups, binary)
        self._zygotes = Zygotes(self._zygote_parts(zygote_user), on_zygote)
        self.forks = Stopwatch()
        """Time that a fork takes by itself: to come to be, and to enter its walls once these are there."""

    @property
    def has_zygote(self) -> bool:
        """Whether agents can be forked now."""
        return self._zygotes.has_one

    def close(self) -> None:
        """End what helps to start sandboxes; those that run live on."""
        self._zygotes.close()

    def prepare(self, image: Image) -> None:
        """Have a zygote of an image soon."""
        self._zygotes.ready(image)

    def prospect(self, image: Image) -> Prospect:
        """Tell whether a sandbox of an image would be forked now."""
        return self._zygotes.prospect(image)

    def make_disk(self, record: Record) -> None:
        """Make the disk of a new sandbox in its folder."""
        self._disks.make(self._layout.folder(record.id), record.spec.disk_bytes)

    def bring_up(self, record: Record, image: Image, slot: int) -> Run:
        """Start a sandbox on its disk, which nobody uses. When it fails, :meth:`tidy` removes what there is."""
        zygote = self._zygotes.ready(image)
        if zygote is not None:
            try:
                return self._bring_up_forked(record, image, slot, *zygote)
            except _FORK_FAILURES as error:
                _log.warning("%s could not be forked and is started cold: %s", record.id, error)
                self.tidy(record.id)
                self.wait_for_disk(record.id)
        return self._bring_up_cold(record, image, slot)

    def _bring_up_cold(self, record: Record, image: Image, slot: int) -> Run:
        bundle = self._make_bundle(record)
        first_id = first_host_id(slot)
        with (
            agent_socket.listen(self._layout.agent_socket(record.id)) as listener,
            user_namespace.mapping(first_id, IDS_PER_SLOT) as namespace,
            self._staged(record, image, first_id, namespace) as trees,
        ):
            config = spec.build(self._plan(record, image, trees, first_id))
            (bundle / "config.json").write_text(json.dumps(config))
            pid = self._binary.run(record.id, bundle, listener=listener.fileno(), output=trees.log)
        return self._take(record, InitProcess(pid, record.id), slot, "cold")

    def _bring_up_forked(
        self, record: Record, image: Image, slot: int, zygote: ZygoteProcess, maker: NamespaceMaker
    ) -> Run:
        """Fork the agent first, make the sandbox around it, and let it in: see ``guest.zygote``."""
        bundle = self._make_bundle(record)
        first_id = first_host_id(slot)
        with (
            ExitStack() as at_last,
            agent_socket.listen(self._layout.agent_socket(record.id)) as listener,
            maker.mapping(first_id, IDS_PER_SLOT) as namespace,
            Birth() as birth,
        ):
            zygote.fork(birth.its, namespace, listener)
            # It forks while the disk is mounted: there is more than one CPU.
            with self._staged(record, image, first_id, namespace) as trees:
                birth.wait_until_born(namespace)
                # By the process and not by our descriptor: runc since 1.1.10 compares maps, and reads those of the host
                # where the path is no process's.
                joined = {kind: f"/proc/{birth.pid}/ns/{kind}" for kind in ("user", "pid")}
                config = spec.build(self._plan(record, image, trees, first_id, joined))
                (bundle / "config.json").write_text(json.dumps(config))
                runtime = InitProcess(self._binary.create(record.id, bundle, output=trees.log), record.id)
                at_last.callback(_collect, runtime)  # its end takes a while, and the rest need not wait for it
                try:
                    process = self._let_in(birth, record, trees.log, runtime.pid, first_id)
                finally:
                    # It has made the namespaces, which the agent now holds; nothing is ever to run in it.
                    runtime.kill()
            return self._take(record, process, slot, "forked")

    def _let_in(self, birth: Birth, record: Record, log: int, runtime_pid: int, first_id: int) -> InitProcess:
        self._cgroups.add(record.id, birth.pid)
        process = InitProcess(birth.pid, record.id)
        try:
            birth.enter(spec.agent_options(record.spec.disk_bytes), log, runtime_pid)
            self.forks.count(birth.took_s)
            birth.check_walls(runtime_pid, first_id)
        except BaseException:
            process.kill()
            process.close()
            raise
        return process

    def _make_bundle(self, record: Record) -> Path:
        bundle = self._layout.bundle(record.id)
        bundle.mkdir(mode=0o700)
        return bundle

    def _staged(
        self, record: Record, image: Image, first_id: int, namespace: int
    ) -> AbstractContextManager[rootfs.Rootfs]:
        disk = self._layout.folder(record.id) / DISK_NAME
        return rootfs.staged(self._layout.staging / record.id, image.rootfs, disk, first_id, namespace)

    def _take(self, record: Record, process: InitProcess, slot: int, kind: Literal["cold", "forked"]) -> Run:
        """Set what only the host can, and remember the process for the next supervisor."""
        try:
            # Both before people's code: no socket of its that exists by then would count.
            self._cgroups.limit_network_memory(record.id)
            ipc_limits.set_in_namespace_of(process.pidfd, first_host_id(slot))
            identity = InitIdentity(
                pid=process.pid, start_ticks=process.start_ticks, boot_id=self._boot_id, slot=slot, kind=kind
            )
            identity.write(self._layout.identity(record.id))
        except BaseException:
            process.kill()
            process.close()
            raise
        return Run(process, slot, kind)

    def warm(self, sandbox_id: str, image: Image, must_stop: Callable[[], bool]) -> None:
        """Warm the Python of a sandbox that was just brought up; other sandboxes go before it.

        Raises ``NotWarmError``, ``AgentNotListeningError``, ``OSError``.
        """
        self._cgroups.yield_cpu(sandbox_id, to_all=True)
        try:
            with agent_socket.connect(self._layout.agent_socket(sandbox_id)) as agent:
                warming.warm(agent, image.preload, must_stop)
        finally:
            self._cgroups.yield_cpu(sandbox_id, to_all=False)

    def adopt(self, sandbox_id: str) -> Run | None:
        """Give the run of a sandbox that an earlier supervisor started, ``None`` when it is not alive."""
        identity = InitIdentity.read(self._layout.identity(sandbox_id))
        if identity is None:
            return None
        try:
            return Run(init_process.adopt(identity, sandbox_id), identity.slot, identity.kind)
        except init_process.InitGoneError:
            return None

    def end(self, sandbox_id: str, process: InitProcess) -> None:
        """End every process of a sandbox and wait until they are gone. Raises ``StillThereError``."""
        process.kill()
        deadline = time.monotonic() + _END_TIMEOUT_S
        while True:
            # On cgroup v1 a frozen process dies when it is thawed, and the disk guard may freeze it again.
            self._cgroups.thaw(sandbox_id)
            if process.wait(0.1):
                break
            orphans.collect()
            if time.monotonic() > deadline:
                raise StillThereError(f"the processes of {sandbox_id} do not end")
        self._empty_cgroup(sandbox_id)

    def tidy(self, sandbox_id: str) -> None:
        """Remove all that a run leaves, its processes too, except record and disk; what is not there is no error."""
        self._empty_cgroup(sandbox_id)
        if not self._binary.leaves_only_files:
            self._delete(sandbox_id)
        self._cgroups.remove(sandbox_id)
        shutil.rmtree(self._layout.oci_state / sandbox_id, ignore_errors=True)
        self._layout.forget_run(sandbox_id)

    def _delete(self, sandbox_id: str) -> None:
        bundle = self._layout.bundle(sandbox_id)
        bundle.mkdir(mode=0o700, exist_ok=True)
        try:
            self._binary.delete(sandbox_id, bundle / "runtime.log")
        except OciRuntimeFailedError as error:
            _log.warning("%s is removed without the OCI runtime: %s", sandbox_id, error)

    def has_run(self, sandbox_id: str) -> bool:
        """Whether there is something to tidy."""
        paths = (
            self._layout.identity(sandbox_id),
            self._layout.bundle(sandbox_id),
            self._layout.oci_state / sandbox_id,
            self._layout.agent_socket(sandbox_id),
        )
        return any(path.exists() for path in paths) or bool(self._cgroups.processes(sandbox_id))

    def _zygote_parts(self, user: str | None) -> Parts | None:
        if user is None:
            return None
        try:
            zygote_account = account.find(user)
        except account.NoAccountError as error:
            _log.warning("every sandbox starts cold: %s", error)
            return None
        return Parts(self._layout, self._cgroups, self._binary, zygote_account, self._oom_score_adj)

    def _plan(
        self, record: Record, image: Image, trees: rootfs.Rootfs, first_id: int, joined: dict[str, str] | None = None
    ) -> spec.SandboxPlan:
        return spec.SandboxPlan(
            rootfs=trees.root,
            data=trees.data,
            guest_code=self._guest_code,
            etc=self._etc,
            python=image.python,
            first_host_id=first_id,
            cgroups_path=self._cgroups.path(record.id),
            limits=record.spec,
            swap_limited=self._cgroups.swap_limited,
            oom_score_adj=self._oom_score_adj,
            seccomp=self._seccomp,
            joined=joined or {},
        )

    def wait_for_disk(self, sandbox_id: str) -> None:
        """Wait until the last run has let go of the disk: mounted twice, a file system is lost.

        Raises ``StillThereError``.
        """
        deadline = time.monotonic() + _END_TIMEOUT_S
        while loop_device.backs(sandbox_id):
            if time.monotonic() > deadline:
                raise StillThereError(f"the disk of {sandbox_id} is still in use")
            time.sleep(_PAUSE_S)

    def _empty_cgroup(self, sandbox_id: str) -> None:
        """End what is in the cgroup, of the sandbox's pid namespace or on its way into it."""
        deadline = time.monotonic() + _END_TIMEOUT_S
        while processes := self._cgroups.processes(sandbox_id):
            for pid in processes:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._cgroups.thaw(sandbox_id)
            if time.monotonic() > deadline:
                raise StillThereError(f"the processes of {sandbox_id} do not end")
            time.sleep(_PAUSE_S)


def _collect(killed: InitProcess) -> None:
    killed.wait(_END_TIMEOUT_S)
    killed.close()
