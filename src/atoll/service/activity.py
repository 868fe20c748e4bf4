"""Who is used, and until when it may be: the newest ``last_active_at`` of every container.

Touches are kept in memory and written twice a second by the reconciler, many in one transaction: a call of a
millisecond must not wait for a disk. A server that is killed forgets at most a second: a use that comes later than that
after the last one that is written, so that forgetting it would go further back, is written before it is answered.
"""

import asyncio
import dataclasses
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from atoll.model.containers import Container, ContainerStatus
from atoll.model.errors import ContainerExpiredError
from atoll.model.ids import ContainerId
from atoll.service.signals import Signals
from atoll.store import containers
from atoll.store.database import Database

_LOG = logging.getLogger(__name__)
_FORGOTTEN_S_MAX: Final = 1


class Activity:
    """Decides, without waiting, whether a container can be used.

    Nothing in here yields to the event loop between a decision and its note, so a use that was let in is seen by
    the reconciler that asks next, and a container that once was over stays over.
    """

    def __init__(self, database: Database, signals: Signals, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._signals = signals
        self._clock = clock
        self._touched: dict[ContainerId, int] = {}
        # Written just now: a row that was read before the write still needs them.
        self._written: dict[ContainerId, int] = {}
        self._kept: dict[ContainerId, int] = {}  # by the last write that is known to be on disk
        self._one_flush = asyncio.Lock()
        self._holds: Counter[ContainerId] = Counter()

    def now(self) -> int:
        """The unix second."""
        return int(self._clock())

    def seen(self, container: Container) -> Container:
        """Give a row as it counts now: with the newest touch, and expired when its time is over."""
        if container.status is ContainerStatus.EXPIRED:
            return container
        newest = self._newest(container)
        if newest != container.last_active_at:
            container = dataclasses.replace(container, last_active_at=newest)
        if container.expires_at > self.now():
            return container
        self._signals.expiry.set()
        return dataclasses.replace(container, status=ContainerStatus.EXPIRED, sandbox_id=None)

    def touch(self, container: Container) -> Container:
        """Note a use now and give the container with it. Raises ``ContainerExpiredError``."""
        seen = self.seen(container)
        if seen.status is ContainerStatus.EXPIRED:
            raise ContainerExpiredError
        # A clock that was set back moves nothing backwards.
        moment = max(seen.last_active_at, self.now())
        self._touched[seen.id] = moment
        return seen if moment == seen.last_active_at else dataclasses.replace(seen, last_active_at=moment)

    def begin_hold(self, container: Container) -> Container:
        """Begin a use that lasts: until ``end_hold`` it cannot expire. Raises ``ContainerExpiredError``."""
        held = self.touch(container)
        self._holds[held.id] += 1
        return held

    def end_hold(self, container_id: ContainerId) -> None:
        """End it, which counts as the container's last use."""
        self._touched[container_id] = max(self._touched.get(container_id, 0), self.now())
        self._holds[container_id] -= 1
        if not self._holds[container_id]:
            del self._holds[container_id]

    def keep(self, row: Container, used: Container) -> "asyncio.Task[None] | None":
        """Begin to write a use that forgetting would set back by more than a second from its row; the caller awaits it.

        ``None`` where there is no need: what is used all the time is written by the reconciler in time.
        """
        if used.last_active_at - row.last_active_at <= _FORGOTTEN_S_MAX:
            return None
        return asyncio.create_task(self._keep(used.id, used.last_active_at), name=f"keep {used.id}")

    def forget(self, container_id: ContainerId) -> None:
        """Drop what is known of a container that is no more."""
        self._touched.pop(container_id, None)
        self._written.pop(container_id, None)

    async def flush(self) -> None:
        """Write what was touched. What is held counts as used now, so its rows never come due."""
        async with self._one_flush:
            await self._flush()

    async def _keep(self, container_id: ContainerId, moment: int) -> None:
        """Write one use, with all others that wait. What was done is answered for even when this fails."""
        try:
            async with self._one_flush:
                if self._kept.get(container_id, 0) < moment - _FORGOTTEN_S_MAX:
                    await self._flush()
        except Exception:  # noqa: BLE001 - whatever it is, the reconciler goes on trying
            _LOG.exception("the last use of %s is not written yet", container_id)

    async def _flush(self) -> None:
        moments = self._touched | {key: self._held_until(key) for key in self._holds}
        self._written, self._touched = moments, {}
        if not moments:
            return
        try:
            await self._database.write(lambda connection: containers.touch(connection, moments))
        except BaseException:
            self._touched = moments | self._touched
            raise
        self._kept = moments

    def _newest(self, container: Container) -> int:
        key = container.id
        return max(
            container.last_active_at, self._touched.get(key, 0), self._written.get(key, 0), self._held_until(key)
        )

    def _held_until(self, container_id: ContainerId) -> int:
        return self.now() if container_id in self._holds else 0
