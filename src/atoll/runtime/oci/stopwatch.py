"""Counts how long something took, from any thread."""

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from atoll.model.runtime_metrics import DURATION_BOUNDS_S, Durations


class Stopwatch:
    """One thing's durations."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """``clock`` gives seconds that never go back."""
        self._clock = clock
        self._lock = threading.Lock()
        self._counts = [0] * (len(DURATION_BOUNDS_S) + 1)
        self._sum_s = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count how long the body takes, if it does not fail."""
        started_at = self._clock()
        yield
        self.count(self._clock() - started_at)

    def count(self, seconds: float) -> None:
        """Count one."""
        with self._lock:
            self._counts[bisect_left(DURATION_BOUNDS_S, seconds)] += 1
            self._sum_s += seconds

    def durations(self) -> Durations:
        """Give what was counted."""
        with self._lock:
            return Durations(tuple(self._counts), self._sum_s)
