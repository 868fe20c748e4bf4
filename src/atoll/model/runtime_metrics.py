"""What a runtime counts about itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

StartedHow = Literal["ready", "forked", "cold"]
"""Taken from the pool, made around a fork of the zygote, or started from nothing."""

DURATION_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


@dataclass(frozen=True, slots=True)
class Durations:
    """How often something took up to each of ``DURATION_BOUNDS_S`` and, last, longer; and all of it in seconds."""

    counts: tuple[int, ...] = (0,) * (len(DURATION_BOUNDS_S) + 1)
    sum_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeMetrics:
    """What there is now, and what was counted since the runtime's start.

    ``pool_hits`` and ``pool_misses`` are creates that a ready sandbox fits, by whether there was one. ``memory_bytes``
    is what all sandboxes hold together, the pool and the zygote included, and ``memory_bytes_max`` what they may hold
    at this moment; ``memory_promised_bytes`` the sum of the limits of those that run, which may be
    ``memory_promised_bytes_max``; ``memory_free_bytes`` what they could still be given. ``disk_promised_bytes`` is the
    sum of the disks' limits, ``disk_free_bytes`` what is left under them.
    """

    pool_ready: int = 0
    pool_target: int = 0
    pool_hits: int = 0
    pool_misses: int = 0
    sandboxes_running: int = 0
    sandboxes_stopped: int = 0
    memory_bytes: int = 0
    memory_bytes_max: int = 0
    memory_promised_bytes: int = 0
    memory_promised_bytes_max: int = 0
    memory_free_bytes: int = 0
    disk_promised_bytes: int = 0
    disk_free_bytes: int = 0
    memory_kills: int = 0
    pids_refused: int = 0
    zygote_ready: bool = False
    starts: Mapping[StartedHow, Durations] = field(default_factory=dict)
    forks: Durations = Durations()
    fills: Durations = Durations()
