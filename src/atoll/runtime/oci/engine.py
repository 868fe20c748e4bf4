"""Makes, finds and ends sandboxes; the ``Runtime`` of this machine, in blocking calls that may run side by side.

What is durable of a sandbox is its folder: record first, disk second. From the moment that the disk has its name the
sandbox may have been answered for, so from then on only ``destroy`` removes it; a folder without one is the rest of a
create that a crash cut off. So is one without a record, and one that is marked as waiting in the pool: taking it for a
create is taking that mark away. Moving the folder into the trash is what destroys; all else is tidying, which the next
start takes up again when a crash cuts it off. What runs is found again by its first process, told apart by number,
start time and cgroup.
"""

import errno
import logging
import os
import shutil
import subprocess
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from socket import socket
from typing import Final, TypeVar, get_args

from atoll.model.ids import IdGenerator, SandboxId
from atoll.model.network_policy import NETWORK_DISABLED, NetworkPolicy
from atoll.model.runtime_metrics import RuntimeMetrics, StartedHow
from atoll.runtime.contract import (
    Capabilities,
    Measurement,
    NetworkRefusedError,
    NoRoomError,
    RuntimeUnavailableError,
    Sandbox,
    SandboxNotFoundError,
    SandboxNotRunningError,
    SandboxSpec,
    Usage,
)
from atoll.runtime.oci import (
    admission,
    agent_socket,
    cgroup,
    image,
    init_process,
    layout,
    pool,
    ready_mark,
    record,
    requirements,
    still_disk,
)
from atoll.runtime.oci.box import Box, Run
from atoll.runtime.oci.deaths import Deaths
from atoll.runtime.oci.disk import DISK_NAME
from atoll.runtime.oci.disk_guard import DiskGuard
from atoll.runtime.oci.layout import Layout
from atoll.runtime.oci.limit_counts import LimitCounts
from atoll.runtime.oci.memory_guard import MemoryGuard
from atoll.runtime.oci.networks import Networks, NoEgressError, NotChangedError
from atoll.runtime.oci.oci_binary import OciBinary, OciRuntimeFailedError
from atoll.runtime.oci.pool_keeper import PoolKeeper, Workshop
from atoll.runtime.oci.record import Record, RecordDamagedError
from atoll.runtime.oci.runner import Runner, StillThereError
from atoll.runtime.oci.settings import OciSettings
from atoll.runtime.oci.slots import SLOTS_MAX, NoSlotError, Slots
from atoll.runtime.oci.stopwatch import Stopwatch
from atoll.runtime.oci.zygote.keeper import Prospect

T = TypeVar("T")

_log = logging.getLogger(__name__)

_LOCK_TIMEOUT_S: Final = 30.0
_FREEING_THREADS: Final = 4
_PAGE_MAX: Final = 400
_WAYS: Final = {Prospect.HERE: pool.Way.FORK, Prospect.COMING: pool.Way.WAIT, Prospect.NONE: pool.Way.START}


class Engine:
    """All sandboxes of one supervisor. Every method may raise ``RuntimeUnavailableError``."""

    def __init__(self, settings: OciSettings, clock: Callable[[], float] = time.time) -> None:
        """Take up what an earlier supervisor left. This thread must have a mount namespace of its own.

        Raises ``MachineUnfitError``, ``AlreadyLockedError``, ``OSError``.
        """
        requirements.check(settings.oci_runtime)
        self._settings = settings
        self._clock = clock
        self._ids = IdGenerator()
        self._memory_total_bytes = _memory()["MemTotal"]
        self._images = image.Images(settings.images_dir)
        self._layout = Layout(settings.sandboxes_dir, settings.run_dir)
        self._layout.make()
        self._lock_fd = layout.lock(self._layout.sandboxes, _LOCK_TIMEOUT_S)
        self._cgroups = cgroup.detect(settings.cgroup_parent, settings.cgroup_root)
        binary = OciBinary(settings.oci_runtime, self._layout.oci_state)
        self._pool = PoolKeeper(
            Workshop(
                make=self._make_ready,
                discard=self._give_up_ready,
                is_alive=lambda box: box.is_running,
                way=self._way_to_ready,
                room=self._room_for_ready,
            ),
            pool.Demand(settings.pool_min, settings.pool_max if settings.pool_spec is not None else 0),
        )
        self._runner = Runner(
            self._layout,
            self._cgroups,
            binary,
            zygote_user=settings.zygote_user,
            on_zygote=self._pool.look,
        )
        self._boxes: dict[str, Box] = {}
        self._limit_counts = LimitCounts(self._cgroups)
        self._starts: dict[StartedHow, Stopwatch] = {how: Stopwatch() for how in get_args(StartedHow)}
        self._fills = Stopwatch()
        self._slots = Slots(SLOTS_MAX)
        self._table = threading.Lock()  # guards boxes, slots and what is promised
        # Tidying never takes a box's lock, handling a death does: with one pool for both each could wait for the other.
        self._freeing = ThreadPoolExecutor(_FREEING_THREADS, "freeing")
        self._dying = ThreadPoolExecutor(1, "dying")
        self._deaths: Deaths[Box] = Deaths(lambda box: _ignore(self._dying.submit(self._on_death, box)))
        self._networks = Networks(self._layout.networks, settings.egress_socket, settings.egress_ports)
        self._take_up()
        self._memory_guard = MemoryGuard(
            self._cgroups,
            lambda: _memory()["MemAvailable"],
            reserve_bytes=settings.memory_free_bytes_min // 2,
            most_bytes=settings.memory_bytes_max,
        )
        self._networks.start()
        self._guard = DiskGuard(
            self._disk_free_bytes, settings.disk_free_bytes_min, freeze=self._freeze_all, thaw=self._thaw_all
        )
        self._guard.start()
        self._memory_guard.start()
        self._prepare()

    def keep_pool(self) -> None:
        """Begin to keep sandboxes ready, where the settings say so."""
        if self._settings.pool_spec is not None and self._settings.pool_max > 0:
            self._pool.start()

    @property
    def capabilities(self) -> Capabilities:
        """What holds."""
        return Capabilities(
            name="oci",
            walls=True,
            limits=True,
            survives_restart=True,
            allowlists=self._networks.can_let_out,
            memory_bytes_max=self._memory_bytes(),
        )

    def create(self, spec: SandboxSpec, network: NetworkPolicy = NETWORK_DISABLED) -> Sandbox:
        """Make a sandbox; when it fails nothing is left.

        Raises ``NoRoomError``, ``SpecRefusedError``, ``NetworkRefusedError``.
        """
        admission.check_spec(spec, self._memory_bytes())
        self._check_network(network)
        with _machinery():
            below = self._images.find(self._settings.image)
        started_at = time.perf_counter()
        made, how = self._with_pool_given_up(lambda: self._give(spec, below))
        if network.type != "disabled":
            self._let_out_new(made, network)
        self._starts[how].count(time.perf_counter() - started_at)
        return made.sandbox()

    def _give(self, spec: SandboxSpec, below: image.Image) -> tuple[Box, StartedHow]:
        ready = self._take_ready(spec, below)
        if ready is not None:
            return ready, "ready"
        made = self._create_anew(spec, below)
        return made, made.how

    def set_network(self, sandbox_id: str, network: NetworkPolicy) -> None:
        """Let a running one reach something else.

        Raises ``SandboxNotFoundError``, ``SandboxNotRunningError``, ``NetworkRefusedError``.
        """
        self._check_network(network)
        box = self._find(sandbox_id)
        with box.lock, _machinery():
            run = box.run
            if run is None or run.process.has_ended:
                raise SandboxNotRunningError(sandbox_id)
            self._networks.set(sandbox_id, run.process, network)

    def _check_network(self, network: NetworkPolicy) -> None:
        if network.type != "disabled" and not self._networks.can_let_out:
            raise NetworkRefusedError("there is no egress process on this machine, which holds network policies")

    def _let_out_new(self, box: Box, network: NetworkPolicy) -> None:
        """Give a sandbox that was just made its way out; without it there is no sandbox."""
        try:
            self.set_network(box.record.id, network)
        except (SandboxNotRunningError, SandboxNotFoundError) as error:
            self._discard(box)
            raise RuntimeUnavailableError("the sandbox ended while it was made") from error
        except BaseException:
            self._discard(box)
            raise

    def _create_anew(self, spec: SandboxSpec, below: image.Image) -> Box:
        box = self._admit_new(spec, below.id)
        try:
            with self._pool.waiting(), box.lock, _machinery():
                self._make(box, below)
        except BaseException:
            self._discard(box)
            raise
        box.is_made = True
        return box

    def start(self, sandbox_id: str, network: NetworkPolicy = NETWORK_DISABLED) -> Sandbox:
        """Bring a stopped one back. Raises ``SandboxNotFoundError``, ``NoRoomError``, ``NetworkRefusedError``."""
        self._check_network(network)
        started_at = time.perf_counter()
        box, is_fresh = self._with_pool_given_up(lambda: self._start(sandbox_id, network))
        if is_fresh:
            self._starts[box.how].count(time.perf_counter() - started_at)
        return box.sandbox()

    def _start(self, sandbox_id: str, network: NetworkPolicy) -> tuple[Box, bool]:
        box = self._find(sandbox_id)
        with box.lock, _machinery():
            if box.is_destroyed:
                raise SandboxNotFoundError(sandbox_id)
            if box.is_running:
                return box, False
            self._finish_freeing(box)
            below = self._images.find(box.record.image_id)
            self._admit_again(box)
            self._runner.wait_for_disk(sandbox_id)
            with self._pool.waiting():
                self._bring_up(box, below, network)
        return box, True

    def dial(self, sandbox_id: str) -> socket:
        """Give a socket connected to the agent. Raises ``SandboxNotFoundError``, ``SandboxNotRunningError``."""
        box = self._find(sandbox_id)
        run = box.run
        if run is None or run.process.has_ended:
            raise SandboxNotRunningError(sandbox_id)
        try:
            return agent_socket.connect(self._layout.agent_socket(sandbox_id))
        except agent_socket.AgentBusyError:
            raise RuntimeUnavailableError("the sandbox takes up no connection") from None
        except agent_socket.AgentNotListeningError:
            self._end_deaf(box, run)
            raise SandboxNotRunningError(sandbox_id) from None

    def observe(self, after: str = "", limit: int = _PAGE_MAX) -> tuple[list[Sandbox], bool]:
        """Give up to ``limit`` sandboxes with ids after ``after``, in order, and whether there are more."""
        with self._table:
            made = sorted(box.record.id for box in self._boxes.values() if box.is_made)
            first = bisect_right(made, after)
            boxes = [self._boxes[sandbox_id] for sandbox_id in made[first : first + limit]]
        return [box.sandbox() for box in boxes], len(made) > first + limit

    def usage(self, sandbox_id: str) -> Usage:
        """Measure one. Raises ``SandboxNotFoundError``, ``SandboxNotRunningError``."""
        if not self._find(sandbox_id).is_running:
            raise SandboxNotRunningError(sandbox_id)
        try:
            return Usage(
                memory_bytes=self._cgroups.memory_bytes(sandbox_id),
                memory_kills=self._cgroups.memory_kills(sandbox_id),
                memory_was_full=self._cgroups.memory_was_full(sandbox_id),
                pids=self._cgroups.pids(sandbox_id),
                pids_max=self._cgroups.pids_max(sandbox_id),
                pids_refused=self._cgroups.pids_refused(sandbox_id),
            )
        except OSError:
            raise SandboxNotRunningError(sandbox_id) from None

    def measurement(self, sandbox_id: str) -> Measurement:
        """Measure what people want to see. Raises ``SandboxNotFoundError``, ``SandboxNotRunningError``."""
        box = self._find(sandbox_id)
        run, spec = box.run, box.record.spec
        if run is None or run.process.has_ended:
            raise SandboxNotRunningError(sandbox_id)
        try:
            measurement = Measurement(
                memory_bytes=self._cgroups.memory_bytes(sandbox_id),
                memory_bytes_max=spec.memory_bytes,
                cpu_s=self._cgroups.cpu_s(sandbox_id),
                cpus=spec.cpus,
                pids=self._cgroups.pids(sandbox_id),
                pids_max=self._cgroups.pids_max(sandbox_id),
                disk_bytes=_written_bytes(run.process.pid),
                disk_bytes_max=spec.disk_bytes,
            )
        except OSError:
            raise SandboxNotRunningError(sandbox_id) from None
        if run.process.has_ended:  # its number may have been another process's by then
            raise SandboxNotRunningError(sandbox_id)
        return measurement

    def metrics(self) -> RuntimeMetrics:
        """Give what is counted."""
        with self._table:
            boxes = list(self._boxes.values())
            committed, machine = self._committed(), self._machine()
        for box in boxes:
            if box.is_running:
                self._limit_counts.look(box.record.id)
        made = [box for box in boxes if box.is_made]
        running = sum(box.is_running for box in made)
        pooled, limits = self._pool.counts(), self._limit_counts.counts()
        return RuntimeMetrics(
            pool_ready=pooled.ready,
            pool_target=pooled.target,
            pool_hits=pooled.hits,
            pool_misses=pooled.misses,
            sandboxes_running=running,
            sandboxes_stopped=len(made) - running,
            memory_bytes=self._memory_held().held_bytes,
            memory_bytes_max=self._memory_guard.limit_bytes,
            memory_promised_bytes=committed.memory_bytes,
            memory_promised_bytes_max=machine.memory_promised_bytes_max,
            memory_free_bytes=machine.memory_free_bytes,
            disk_promised_bytes=committed.disk_bytes,
            disk_free_bytes=machine.disk_free_bytes,
            memory_kills=limits.memory_kills,
            pids_refused=limits.pids_refused,
            zygote_ready=self._runner.has_zygote,
            starts={how: stopwatch.durations() for how, stopwatch in self._starts.items()},
            forks=self._runner.forks.durations(),
            fills=self._fills.durations(),
        )

    def stop(self, sandbox_id: str) -> None:
        """End one's processes and keep its disk."""
        box = self._boxes.get(sandbox_id)
        if box is not None:
            self._stop_box(box)

    def destroy(self, sandbox_id: str) -> None:
        """End one and remove it."""
        box = self._boxes.get(sandbox_id)
        if box is None:
            return
        with box.lock, _machinery():
            if box.is_destroyed:
                return
            self._end(box)
            self._bury(box)

    def named(self, sandbox_id: str) -> None:
        """Note that it became known whose one is, for lines of the log."""
        self._networks.named(sandbox_id)

    @contextmanager
    def held(self, sandbox_id: str) -> Iterator[bool]:
        """Keep one from being started, ended and written to while the body runs, so that its disk can be copied.

        Gives whether the disk stands still. Raises ``SandboxNotFoundError``.
        """
        box = self._find(sandbox_id)
        with box.lock, ExitStack() as held:
            with _machinery():
                if box.is_destroyed:
                    raise SandboxNotFoundError(sandbox_id)
                run = box.run if box.is_running else None
                if run is None:
                    self._finish_freeing(box)
                    self._runner.wait_for_disk(sandbox_id)
                    is_still = True
                else:
                    mark = self._layout.still_mark(sandbox_id)
                    is_still = held.enter_context(still_disk.frozen(run.process, sandbox_id, mark))
            yield is_still

    def stop_all(self) -> None:
        """End every sandbox, keep the disks, and wait until all is tidied. Raises what the last failure was."""
        self._pool.close()
        failure: Exception | None = None
        boxes = list(self._boxes.values())
        # What the kernel takes down after a process takes long, but many go at once: nobody is waited for before all
        # are told.
        for step in (self._kill_box, self._stop_box, self._wait_for_freeing):
            for box in boxes:
                try:
                    step(box)
                except (RuntimeUnavailableError, OSError) as error:
                    failure = error
        self.close()
        if failure is not None:
            raise failure
        self._cgroups.remove_parent()
        self._layout.clear_run()

    def close(self) -> None:
        """Finish tidying, give up the pool and let go; people's sandboxes live on."""
        self._pool.close()
        self._guard.close()
        self._memory_guard.close()
        self._deaths.close()
        self._dying.shutdown()
        self._freeing.shutdown()
        self._runner.close()
        self._networks.close()
        os.close(self._lock_fd)

    def _find(self, sandbox_id: str) -> Box:
        box = self._boxes.get(sandbox_id)
        if box is None or not box.is_made:
            raise SandboxNotFoundError(sandbox_id)
        return box

    def _prepare(self) -> None:
        with suppress(image.ImageNotFoundError, OSError):  # whoever makes a sandbox is told
            self._runner.prepare(self._images.find(self._settings.image))

    # Letting in

    def _admit_new(self, spec: SandboxSpec, image_id: str) -> Box:
        sandbox_id = SandboxId(self._ids.new("sbx_"))
        box = Box(Record(id=sandbox_id, created_at=self._clock(), image_id=image_id, spec=spec))
        with self._table:
            admission.check_room(spec, self._machine(), self._committed(), is_new=True)
            box.holds_memory = True
            self._boxes[sandbox_id] = box
        return box

    def _admit_again(self, box: Box) -> None:
        with self._table:
            admission.check_room(box.record.spec, self._machine(), self._committed(), is_new=False)
            box.holds_memory = True

    def _committed(self) -> admission.Committed:
        boxes = [box for box in self._boxes.values() if not box.is_pooled]
        return admission.Committed(
            memory_bytes=sum(box.record.spec.memory_bytes for box in boxes if box.holds_memory),
            disk_bytes=sum(box.record.spec.disk_bytes for box in boxes),
            sandboxes=len(boxes),
        )

    def _machine(self) -> admission.Machine:
        memory = _memory()
        return admission.Machine(
            memory_bytes=self._memory_bytes(),
            memory_free_bytes=self._memory_free_bytes(memory["MemAvailable"]),
            memory_free_bytes_min=self._settings.memory_free_bytes_min,
            memory_overcommit=self._settings.memory_overcommit,
            disk_free_bytes=self._disk_free_bytes(),
            disk_free_bytes_min=self._settings.disk_free_bytes_min,
            disk_overcommit=self._settings.disk_overcommit,
            sandboxes_max=self._settings.sandboxes_max,
        )

    def _memory_bytes(self) -> int:
        most = self._settings.memory_bytes_max
        return self._memory_total_bytes if most is None else min(self._memory_total_bytes, most)

    def _memory_free_bytes(self, available: int) -> int:
        """Give what sandboxes can still be given: of the machine's, and of what they may hold together."""
        most = self._settings.memory_bytes_max
        if most is None:
            return available
        held = self._memory_held()
        return min(available, most - held.held_bytes + held.reclaimable_bytes)

    def _memory_held(self) -> cgroup.Held:
        try:
            return self._cgroups.memory_of_all()
        except OSError:  # the guard has said that there is nothing to measure
            return cgroup.Held(0, 0)

    def _disk_free_bytes(self) -> int:
        status = os.statvfs(self._layout.sandboxes)
        return status.f_bavail * status.f_frsize

    # The pool

    def _with_pool_given_up(self, ask: Callable[[], T]) -> T:
        """Ask, and once more without the pool where it was that which took the room."""
        try:
            return ask()
        except NoRoomError:
            with self._table:
                is_short = admission.is_short(self._machine()) or len(self._slots) >= SLOTS_MAX
            if not is_short or not self._pool.give_up():
                raise
        return ask()

    def _take_ready(self, spec: SandboxSpec, below: image.Image) -> Box | None:
        """Make one of the pool's into what is asked for; ``None`` when there is none that it could be.

        Raises ``NoRoomError``, before it takes one out: its place is filled at once.
        """
        pool_spec = self._settings.pool_spec
        if pool_spec is None or not pool.fits(spec, pool_spec):
            return None
        box = self._reserve_ready(spec, below)
        self._pool.asked()
        while box is not None:
            if self._is_claimed(box, pool_spec):
                self._pool.count(is_hit=True)
                return box
            self._pool.reject(box)
            box = self._reserve_ready(spec, below)
        self._pool.count(is_hit=False)
        return None

    def _reserve_ready(self, spec: SandboxSpec, below: image.Image) -> Box | None:
        """Take one out of the pool and promise it what is asked for, in one. Raises ``NoRoomError`` and takes none."""
        with self._table:
            admission.check_room(spec, self._machine(), self._committed(), is_new=True)
            while (box := self._pool.take()) is not None:
                if box.is_running and box.record.image_id == below.id:
                    box.record = replace(box.record, spec=spec)
                    box.is_pooled = False
                    box.holds_memory = True
                    return box
                self._pool.reject(box)
        return None

    def _is_claimed(self, box: Box, ready: SandboxSpec) -> bool:
        """Make a reserved sandbox somebody's own, which was made by ``ready``; when it cannot be, ``False``."""
        try:
            with box.lock, _machinery():
                self._claim(box, ready)
        except (NoRoomError, RuntimeUnavailableError):
            _log.warning("%s of the pool could not be taken", box.record.id)
        return box.is_made

    def _claim(self, box: Box, ready: SandboxSpec) -> None:
        """Change what differs from a new one. The caller holds the lock.

        The mark goes last: after a crash before that the sandbox is nobody's and removed, after it it is whole. The
        record lasts already and is right unless the limits differ: only then is the disk waited for.
        """
        sandbox_id, spec = box.record.id, box.record.spec
        if spec != ready:
            self._cgroups.limit(sandbox_id, ready, spec)
            record.write_through(self._layout.folder(sandbox_id), box.record)
        self._layout.ready_mark(sandbox_id).unlink()
        box.is_made = True

    def _make_ready(self) -> Box:
        """Make one for the pool, warm; when it fails nothing is left."""
        spec = self._settings.pool_spec
        if spec is None:
            raise RuntimeUnavailableError("there is no size to make sandboxes of for the pool")
        with _machinery():
            below = self._images.find(self._settings.image)
        sandbox_id = SandboxId(self._ids.new("sbx_"))
        box = Box(Record(id=sandbox_id, created_at=self._clock(), image_id=below.id, spec=spec), is_pooled=True)
        with self._table:
            self._boxes[sandbox_id] = box
        try:
            with self._fills.running():
                with box.lock, _machinery():
                    self._make(box, below)
                # Not under the lock: noticing that it died must not wait for this.
                self._runner.warm(sandbox_id, below, lambda: self._pool.must_stop)
        except BaseException:
            self._give_up_ready(box)
            raise
        return box

    def _give_up_ready(self, box: Box) -> None:
        """Remove one of the pool's, and wait until all that it held is free."""
        freeing: Future[None] | None = None
        with box.lock, _machinery():
            if not box.is_destroyed:
                self._end(box)
                freeing = box.freeing
                self._bury(box)
        if freeing is not None:
            with suppress(OSError, StillThereError):  # told when the trash is emptied, which tries again
                freeing.result()

    def _way_to_ready(self) -> pool.Way:
        try:
            below = self._images.find(self._settings.image)
        except (image.ImageNotFoundError, OSError):  # whoever makes a sandbox is told
            return pool.Way.WAIT
        return _WAYS[self._runner.prospect(below)]

    def _room_for_ready(self, ready: list[Box], way: pool.Way) -> int:
        with self._table:
            machine, sandboxes = self._machine(), self._committed().sandboxes
        member_bytes = pool.COLD_MEMBER_BYTES if way is pool.Way.START else pool.FORKED_MEMBER_BYTES
        return pool.room(machine, sandboxes=sandboxes, ready=len(ready), member_bytes=member_bytes)

    # Bringing up

    def _make(self, box: Box, below: image.Image) -> None:
        folder = self._layout.folder(box.record.id)
        folder.mkdir(mode=0o700)
        if box.is_pooled:
            ready_mark.put(self._layout.ready_mark(box.record.id))
        record.write(folder, box.record)
        self._runner.make_disk(box.record)
        durable = self._freeing.submit(record.sync, folder)
        self._bring_up(box, below)
        durable.result()

    def _bring_up(self, box: Box, below: image.Image, network: NetworkPolicy = NETWORK_DISABLED) -> None:
        """Start a box that is admitted; when it fails nothing of the run is left."""
        sandbox_id = box.record.id
        with self._table:
            slot = self._slots.take(int(sandbox_id[-4:], 16))
        try:
            run = self._runner.bring_up(box.record, below, slot)
        except BaseException:
            self._tidy(box, slot)
            raise
        self._let_out(box, run, network)
        box.run = run
        self._deaths.watch(run.process.pidfd, box)

    def _let_out(self, box: Box, run: Run, network: NetworkPolicy) -> None:
        """Give a run its way out before anybody can dial it; when it fails nothing of the run is left."""
        if network.type == "disabled":
            return
        try:
            self._networks.set(box.record.id, run.process, network)
        except BaseException:
            self._networks.forget(box.record.id)
            self._runner.end(box.record.id, run.process)
            self._tidy(box, run.slot)
            run.process.close()
            raise

    def _discard(self, box: Box) -> None:
        """Undo a create that failed."""
        with box.lock, _machinery():
            self._end(box)
            self._bury(box)

    # Ending

    def _end(self, box: Box) -> None:
        """End a box's processes; tidying goes on in the background. The caller holds the box's lock."""
        run = box.run
        if run is None:
            return
        self._runner.end(box.record.id, run.process)
        self._leave(box, run)

    def _leave(self, box: Box, run: Run) -> None:
        box.run = None
        self._networks.forget(box.record.id)
        self._deaths.forget(run.process.pidfd)
        box.freeing = self._freeing.submit(self._tidy, box, run.slot)
        run.process.close()

    def _tidy(self, box: Box, slot: int | None) -> None:
        self._limit_counts.look(box.record.id)
        self._runner.tidy(box.record.id)
        self._limit_counts.forget(box.record.id)
        with self._table:
            box.holds_memory = False
            if slot is not None:
                self._slots.release(slot)

    def _kill_box(self, box: Box) -> None:
        with box.lock:
            if box.run is not None:
                box.run.process.kill()

    def _stop_box(self, box: Box) -> None:
        with box.lock, _machinery():
            self._end(box)

    def _wait_for_freeing(self, box: Box) -> None:
        with box.lock:
            self._finish_freeing(box)

    def _finish_freeing(self, box: Box) -> None:
        """Wait until the last run is tidied, and try once more when that went wrong. The caller holds the lock."""
        if box.run is not None:
            self._end(box)
        freeing, box.freeing = box.freeing, None
        if freeing is None:
            return
        try:
            freeing.result()
        except (OSError, StillThereError):
            _log.exception("tidying after %s failed and is tried again", box.record.id)
            self._tidy(box, None)

    def _bury(self, box: Box) -> None:
        """Make an ended box destroyed; the caller holds its lock."""
        sandbox_id = box.record.id
        self._to_trash(sandbox_id)
        self._layout.ready_mark(sandbox_id).unlink(missing_ok=True)
        box.is_destroyed = True
        with self._table:
            box.holds_memory = False
            self._boxes.pop(sandbox_id, None)
        _ignore(self._freeing.submit(self._empty_trash, sandbox_id, box.freeing))

    def _to_trash(self, sandbox_id: str) -> None:
        try:
            self._layout.folder(sandbox_id).rename(self._layout.trash / sandbox_id)
        except FileNotFoundError:  # a create that failed before its first step
            return

    def _empty_trash(self, sandbox_id: str, freeing: "Future[None] | None") -> None:
        """Free all of a destroyed sandbox. The folder goes last: while it is there, the next start tries again."""
        try:
            if freeing is None:
                self._runner.tidy(sandbox_id)
            else:
                freeing.result()
            shutil.rmtree(self._layout.trash / sandbox_id, ignore_errors=True)
        except (OSError, StillThereError):
            _log.exception("%s is destroyed but not all of it is freed", sandbox_id)

    def _on_death(self, box: Box) -> None:
        with box.lock:
            run = box.run
            if run is not None and run.process.has_ended:
                _log.info("%s ended by itself", box.record.id)
                self._leave(box, run)
                self._pool.look()

    def _end_deaf(self, box: Box, run: Run) -> None:
        """End a box whose agent has let go of its socket: nobody can reach it any more."""
        with box.lock, _machinery():
            if box.run is run:
                self._end(box)

    # Taking up what an earlier supervisor left

    def _take_up(self) -> None:
        for path in self._layout.trash.iterdir():
            _ignore(self._freeing.submit(self._empty_trash, path.name, None))
        for sandbox_id in self._layout.known_ids():
            try:
                kept = record.read(self._layout.folder(sandbox_id))
            except RecordDamagedError:
                _log.exception("%s is left alone", self._layout.folder(sandbox_id))
                continue
            if kept is None or not self._is_somebodys(sandbox_id):
                self._to_trash(sandbox_id)
                _ignore(self._freeing.submit(self._empty_trash, sandbox_id, None))
            else:
                self._take_up_box(Box(kept, is_made=True))
        self._layout.forget_ready_marks()

    def _is_somebodys(self, sandbox_id: str) -> bool:
        has_disk = (self._layout.folder(sandbox_id) / DISK_NAME).exists()
        return has_disk and not ready_mark.stands(self._layout.ready_mark(sandbox_id))

    def _take_up_box(self, box: Box) -> None:
        sandbox_id = box.record.id
        self._boxes[sandbox_id] = box
        box.run = self._runner.adopt(sandbox_id)
        if box.run is not None:
            box.holds_memory = True
            self._slots.claim(box.run.slot)
            self._limit_counts.adopt(sandbox_id)
            self._networks.adopt(sandbox_id, box.run.process)
            self._deaths.watch(box.run.process.pidfd, box)
            with suppress(OSError):  # it ended since, and its disk with it
                still_disk.thaw(box.run.process, sandbox_id, self._layout.still_mark(sandbox_id))
        elif self._runner.has_run(sandbox_id):
            box.freeing = self._freeing.submit(self._tidy, box, None)

    # Guarding the disk

    def _freeze_all(self) -> None:
        for box in list(self._boxes.values()):
            if box.is_running:
                self._cgroups.freeze(box.record.id)

    def _thaw_all(self) -> None:
        for box in list(self._boxes.values()):
            if box.is_running:
                self._cgroups.thaw(box.record.id)


@contextmanager
def _machinery() -> Iterator[None]:
    """Turn what the machine's parts raise into what the contract says."""
    try:
        yield
    except NoEgressError as error:
        raise NetworkRefusedError(str(error)) from error
    except NoSlotError as error:
        raise NoRoomError("every range of user ids is taken") from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE}:
            raise NoRoomError(f"the machine has no room for a sandbox: {error.strerror}") from error
        _log.exception("the machine refused")
        raise RuntimeUnavailableError(f"the machine refused: {error}") from error
    except (
        OciRuntimeFailedError,
        StillThereError,
        NotChangedError,
        image.ImageNotFoundError,
        init_process.InitGoneError,
        subprocess.SubprocessError,
    ) as error:
        _log.exception("a sandbox could not be made or ended")
        raise RuntimeUnavailableError(str(error)) from error


def _ignore(_: "Future[None]") -> None:
    """Let a task that reports by itself go on alone."""


def _memory() -> dict[str, int]:
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines}


def _written_bytes(pid: int) -> int:
    """Give what is written on the disk below the root that a process sees.

    Asked of the overlay, which answers for the disk under it: no name that the sandbox could have chosen is followed.
    """
    found = os.statvfs(f"/proc/{pid}/root/")
    return (found.f_blocks - found.f_bfree) * found.f_frsize
