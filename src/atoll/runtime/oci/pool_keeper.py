"""Keeps the pool: one thread that makes ready sandboxes one at a time, and gives up those that there are too many of.

It knows nothing of how a sandbox is made: the engine tells it by ``Workshop``. While the CPUs are short it waits,
because nobody waits for the pool.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from atoll.runtime.oci.cpu_pressure import CpuPressure
from atoll.runtime.oci.pool import Demand, Sight, Step, Way, is_short, next_step, target_of

_log = logging.getLogger(__name__)

T = TypeVar("T")

_DISCARDING_THREADS: Final = 8
_IDLE_S: Final = 1.0
# Long enough to tell from it whether the machine is busy.
_MOMENT_S: Final = 0.05
# After a create its first call mostly follows, which wants the CPUs and this process's interpreter for itself.
_QUIET_S: Final = 0.05
_LOOK_AGAIN_S: Final = 0.01
_FAILURE_PAUSE_S: Final = 2.0
_FAILURE_PAUSE_S_MAX: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolCounts:
    """How many are ready, should be, and how many creates found one or did not since the start."""

    ready: int
    target: int
    hits: int
    misses: int


@dataclass(frozen=True, slots=True)
class Workshop(Generic[T]):
    """What the keeper works with; all of it may block.

    ``make`` raises when it did not work and has left nothing then; ``way`` tells how it would do it now; ``room`` gives
    ``pool.room`` for so many that are ready; ``discard`` removes one for good, dead or alive.
    """

    make: Callable[[], T]
    discard: Callable[[T], None]
    is_alive: Callable[[T], bool]
    way: Callable[[], Way]
    room: Callable[[list[T], Way], int]


class PoolKeeper(Generic[T]):
    """The pool. Taking, giving up and removing may come from any thread; the newest is taken first."""

    def __init__(
        self,
        workshop: Workshop[T],
        demand: Demand,
        *,
        cpu_wait: Callable[[], float] | None = None,
        clock: Callable[[], float] = time.monotonic,
        idle_s: float = _IDLE_S,
        quiet_s: float = _QUIET_S,
        failure_pause_s: float = _FAILURE_PAUSE_S,
    ) -> None:
        """Make one that does nothing yet.

        ``cpu_wait`` gives the share of the time since its last call in which something waited for a CPU; ``idle_s`` is
        how often it looks unasked, ``quiet_s`` how long it leaves a pool that is not empty alone after that;
        ``failure_pause_s`` goes before the next try, twice as long after each failure.
        """
        self._workshop = workshop
        self._demand = demand
        self._clock = clock
        self._idle_s = idle_s
        self._quiet_s = quiet_s
        self._failure_pause_s = failure_pause_s
        self._ready: list[T] = []
        self._rejected: list[T] = []
        self._creating = 0
        self._way = Way.WAIT
        self._hits = 0
        self._misses = 0
        self._lock = threading.Lock()  # guards the above
        self._cpu_wait = CpuPressure().share if cpu_wait is None else cpu_wait
        self._wake = threading.Event()
        self._must_stop = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to fill."""
        self._thread = threading.Thread(target=self._keep, name="pool", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and give all up. Again is no error."""
        self._must_stop = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self.give_up()

    @property
    def must_stop(self) -> bool:
        """Whether what is being made is of no use any more."""
        return self._must_stop

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Note that somebody waits for a sandbox to be made: filling can wait."""
        with self._lock:
            self._creating += 1
        try:
            yield
        finally:
            with self._lock:
                self._creating -= 1

    def asked(self) -> None:
        """Note that one was asked for that the pool could have had."""
        with self._lock:
            self._demand.asked(self._clock())
        self._wake.set()

    def take(self) -> T | None:
        """Take one out of the pool."""
        with self._lock:
            return self._ready.pop() if self._ready else None

    def count(self, *, is_hit: bool) -> None:
        """Count a create that a ready one fits, by whether it got one."""
        with self._lock:
            self._hits += is_hit
            self._misses += not is_hit

    def counts(self) -> PoolCounts:
        """Give what is counted."""
        with self._lock:
            target = target_of(self._way, self._demand.target(self._clock()))
            return PoolCounts(ready=len(self._ready), target=target, hits=self._hits, misses=self._misses)

    def reject(self, one: T) -> None:
        """Have one removed that was taken and is of no use; nobody waits for that."""
        with self._lock:
            self._rejected.append(one)
        self._wake.set()

    def look(self) -> None:
        """Look now and not at the next turn: one may have died, or there is a zygote."""
        self._wake.set()

    def give_up(self) -> int:
        """Remove all that are ready; give how many there were."""
        with self._lock:
            all_ready, self._ready = self._ready + self._rejected, []
            self._rejected = []
        with ThreadPoolExecutor(_DISCARDING_THREADS, "giving-up") as threads:
            list(threads.map(self._discard, all_ready))
        return len(all_ready)

    def _keep(self) -> None:
        put_off_since: float | None = None
        failures = 0
        while not self._must_stop:
            self._clear_out()
            sight = self._look(put_off_since)
            step = next_step(sight)
            if step is Step.GIVE_UP:
                self._give_one_up()
            elif step is Step.MAKE:
                put_off_since = None
                failures = 0 if self._make() else failures + 1
                if failures:
                    self._rest(min(_FAILURE_PAUSE_S_MAX, self._failure_pause_s * 2 ** min(failures - 1, 10)))
                if sight.way is Way.START:
                    self._watch_moment()
            elif is_short(sight):
                put_off_since = self._clock() if put_off_since is None else put_off_since
                self._watch_moment()
            else:
                put_off_since = None
                if self._wake.wait(self._idle_s):
                    self._leave_alone()
                self._wake.clear()

    def _look(self, put_off_since: float | None) -> Sight:
        now = self._clock()
        way = self._workshop.way()
        with self._lock:
            self._way = way
            ready, creating = list(self._ready), self._creating
            target = target_of(way, self._demand.target(now))
        try:
            room = self._workshop.room(ready, way)
        except OSError:
            _log.exception("cannot tell whether there is room for the pool")
            room = 0
        return Sight(
            ready=len(ready),
            target=target,
            way=way,
            room=room,
            creating=creating,
            cpu_wait=self._cpu_wait(),
            put_off_s=0.0 if put_off_since is None else now - put_off_since,
        )

    def _make(self) -> bool:
        try:
            one = self._workshop.make()
        except Exception as error:  # noqa: BLE001 - whatever it is, there is only no pool for a while
            if not self._must_stop:
                _log.warning("no sandbox could be made for the pool: %r", error)
            return False
        with self._lock:
            self._ready.append(one)
        return True

    def _give_one_up(self) -> None:
        with self._lock:
            one = self._ready.pop(0) if self._ready else None
        if one is not None:
            self._discard(one)

    def _discard(self, one: T) -> None:
        try:
            self._workshop.discard(one)
        except Exception:  # noqa: BLE001 - the pool goes on
            _log.exception("a sandbox of the pool could not be removed")

    def _clear_out(self) -> None:
        with self._lock:
            dead = [one for one in self._ready if not self._workshop.is_alive(one)]
            self._ready = [one for one in self._ready if one not in dead]
            useless, self._rejected = dead + self._rejected, []
        for one in useless:
            self._discard(one)

    def _watch_moment(self) -> None:
        """See how busy the machine is from now on: what making one kept waiting is no sign of it."""
        self._cpu_wait()
        self._rest(_MOMENT_S)

    def _leave_alone(self) -> None:
        """Wait a moment, while there is one for whoever asks next."""
        deadline = self._clock() + self._quiet_s
        while self._ready and not self._must_stop and self._clock() < deadline:
            time.sleep(_LOOK_AGAIN_S)

    def _rest(self, pause_s: float) -> None:
        """Wait; only the end cuts it short."""
        deadline = self._clock() + pause_s
        while not self._must_stop and (left_s := deadline - self._clock()) > 0:
            time.sleep(min(left_s, 0.1))
