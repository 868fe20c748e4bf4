"""Who is used, and until when it may be: the newest ``last_active_at`` of every container.

Touches are kept in memory and written twice a second by the reconciler, many in one transaction: a call of a
millisecond must not wait for a disk. A server that is killed forgets at most that second.
"""

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from atoll.model.containers import Container, ContainerStatus
from atoll.model.errors import ContainerExpiredError
from atoll.model.ids import ContainerId
from atoll.service.signals import Signals
from atoll.store import containers
from atoll.store.database import Database


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

    @contextmanager
    def hold(self, container: Container) -> Iterator[Container]:
        """Use a container for a while: it cannot expire before the end, which counts as its last use.

        Raises ``ContainerExpiredError``.
        """
        held = self.touch(container)
        self._holds[held.id] += 1
        try:
            yield held
        finally:
            self._release(held.id)

    def forget(self, container_id: ContainerId) -> None:
        """Drop what is known of a container that is no more."""
        self._touched.pop(container_id, None)
        self._written.pop(container_id, None)

    async def flush(self) -> None:
        """Write what was touched. What is held counts as used now, so its rows never come due."""
        moments = self._touched | {key: self._held_until(key) for key in self._holds}
        self._written, self._touched = moments, {}
        if not moments:
            return
        try:
            await self._database.write(lambda connection: containers.touch(connection, moments))
        except BaseException:
            self._touched = moments | self._touched
            raise

    def _newest(self, container: Container) -> int:
        key = container.id
        return max(
            container.last_active_at, self._touched.get(key, 0), self._written.get(key, 0), self._held_until(key)
        )

    def _held_until(self, container_id: ContainerId) -> int:
        return self.now() if container_id in self._holds else 0

    def _release(self, container_id: ContainerId) -> None:
        self._touched[container_id] = max(self._touched.get(container_id, 0), self.now())
        self._holds[container_id] -= 1
        if not self._holds[container_id]:
            del self._holds[container_id]
