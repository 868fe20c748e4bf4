"""What containers hold and use: measured when somebody asks, and for a while after that.

Nobody looks at most containers most of the time, and measuring a thousand of them every five seconds would take a
twentieth of a core. So a container is sampled only from the first question on, until nobody has asked for as long
as its history reaches back. Neither question nor sample counts as use of the container.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from atoll.model.container_stats import ContainerStats, StatsSample, Traffic
from atoll.model.containers import Container, ContainerStatus
from atoll.model.errors import ContainerExpiredError, NotFoundError, SandboxFailedError
from atoll.model.ids import ContainerId, ProjectId
from atoll.runtime.contract import Measurement
from atoll.service.access import Access
from atoll.service.egress import Egress
from atoll.service.sandboxes import Sandboxes

_LOG = logging.getLogger(__name__)

SAMPLE_EVERY_S: Final = 5.0
KEPT_S: Final = 300.0
WATCHED_MAX: Final = 256
"""Beyond that the one that was asked about longest ago is watched no more."""

_SAMPLES_MAX: Final = int(KEPT_S / SAMPLE_EVERY_S)
# Two looks at the processor's clock have to be some way apart to tell anything; more often it is not read.
_FIRST_LOOK_S: Final = 0.1
_SAME_LOOK_S: Final = 0.5
_ABREAST_MAX: Final = 16
_JITTER_S: Final = 0.05


class Stats:
    """Use case of ``/v1/containers/{id}/stats``. ``clock`` gives unix seconds, ``monotonic`` seconds that never go
    back; ``pause`` waits.
    """

    def __init__(
        self,
        *,
        access: Access,
        sandboxes: Sandboxes,
        egress: Egress,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._access = access
        self._sandboxes = sandboxes
        self._egress = egress
        self._clock = clock
        self._monotonic = monotonic
        self._pause = pause
        self._watched: dict[ContainerId, _Watch] = {}

    def __len__(self) -> int:
        """Count the containers that are watched."""
        return len(self._watched)

    async def of(self, project_id: ProjectId, container_id: str) -> ContainerStats:
        """Measure a container; one whose sandbox sleeps holds nothing.

        Raises ``NotFoundError``, ``ContainerExpiredError``, ``SandboxFailedError``.
        """
        container = await self._usable(project_id, container_id)
        watch = self._watched.pop(container.id, None) or _Watch(project_id)
        self._watched[container.id] = watch
        if len(self._watched) > WATCHED_MAX:
            del self._watched[next(iter(self._watched))]
        watch.asked_at = self._monotonic()
        async with watch.lock:
            if not watch.is_fresh(self._monotonic()):
                await self._look(container, watch)
            if watch.newest is None:  # to know what is used now takes two looks
                await self._pause(_FIRST_LOOK_S)
                await self._look(container, watch)
            return watch.stats(self._monotonic())

    @asynccontextmanager
    async def sampling(self, every_s: float = SAMPLE_EVERY_S) -> AsyncIterator[None]:
        """Sample what is watched while the body runs."""
        task = asyncio.create_task(self._sample_on(every_s), name="sample")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def sample(self) -> None:
        """Look at everything that is watched once, and forget what nobody asks about any more."""
        now = self._monotonic()
        for container_id, watch in list(self._watched.items()):
            if now - watch.asked_at > KEPT_S:
                self._watched.pop(container_id, None)
        watched = list(self._watched.items())
        for start in range(0, len(watched), _ABREAST_MAX):
            part = watched[start : start + _ABREAST_MAX]
            await asyncio.gather(*(self._sample(container_id, watch) for container_id, watch in part))

    async def _sample_on(self, every_s: float) -> None:
        while True:
            await self._pause(every_s)
            try:
                await self.sample()
            except Exception:  # noqa: BLE001 - whatever it is, the next look may go well
                _LOG.exception("containers could not be measured")

    async def _sample(self, container_id: ContainerId, watch: "_Watch") -> None:
        async with watch.lock:
            try:
                container = await self._usable(watch.project_id, container_id)
                await self._look(container, watch)
            except (NotFoundError, ContainerExpiredError):
                self._watched.pop(container_id, None)
            except SandboxFailedError as error:
                _LOG.info("%s cannot be measured now: %s", container_id, error.message)

    async def _usable(self, project_id: ProjectId, container_id: str) -> Container:
        container = await self._access.find(project_id, container_id)
        if container.status is ContainerStatus.EXPIRED or container.sandbox_id is None:
            raise ContainerExpiredError
        return container

    async def _look(self, container: Container, watch: "_Watch") -> None:
        measured = await self._sandboxes.measurement(container)
        traffic = await self._egress.traffic(container)
        watch.take(self._monotonic(), self._clock(), measured, traffic)


@dataclass(slots=True)
class _Watch:
    """A container somebody looks at; ``newest`` is there once it was looked at twice.

    Moments are the monotonic clock's: the other one may be set meanwhile.
    """

    project_id: ProjectId
    asked_at: float = 0.0
    newest: StatsSample | None = None
    measured: tuple[float, Measurement] | None = None
    history: deque[tuple[float, StatsSample]] = field(default_factory=lambda: deque(maxlen=_SAMPLES_MAX))
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def is_fresh(self, moment: float) -> bool:
        """Tell whether the newest sample is good enough for another question."""
        return self.newest is not None and self.measured is not None and moment - self.measured[0] < _SAME_LOOK_S

    def take(self, moment: float, at: float, measured: Measurement, traffic: Traffic | None) -> None:
        """Keep what was seen; in the history only what is far enough from the sample before."""
        before, self.measured = self.measured, (moment, measured)
        if before is None:
            return
        self.newest = StatsSample(
            at=at,
            memory_bytes=measured.memory_bytes,
            cores=_cores(measured.cpu_s - before[1].cpu_s, moment - before[0]),
            processes=measured.pids,
            disk_bytes=measured.disk_bytes,
            traffic=traffic,
        )
        if not self.history or moment - self.history[-1][0] >= SAMPLE_EVERY_S - _JITTER_S:
            self.history.append((moment, self.newest))

    def stats(self, moment: float) -> ContainerStats:
        """Give what is known."""
        assert self.newest is not None  # noqa: S101 - it was looked at twice
        assert self.measured is not None  # noqa: S101 - likewise
        _, measured = self.measured
        return ContainerStats(
            now=self.newest,
            cpu_s=measured.cpu_s,
            memory_bytes_max=measured.memory_bytes_max,
            cores_max=measured.cpus,
            processes_max=measured.pids_max,
            disk_bytes_max=measured.disk_bytes_max,
            history=tuple(sample for taken_at, sample in self.history if moment - taken_at <= KEPT_S),
        )


def _cores(used_s: float, passed_s: float) -> float:
    """Give how many cores were used. Less than nothing is a sandbox that was started anew, or lost processes."""
    return max(0.0, used_s / passed_s) if passed_s > 0 else 0.0
