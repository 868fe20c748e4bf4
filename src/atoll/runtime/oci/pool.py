"""Decides about the pool of ready sandboxes: whom one fits, how many there should be, and what to do next; pure."""

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Final

from atoll.runtime.contract import SandboxSpec
from atoll.runtime.oci.admission import Machine

# A warm Python is about 100 MB; what is smaller than this is made to its size from the start.
MEMORY_BYTES_MIN: Final = 256 << 20
# What one takes, generously: a forked one shares nearly all of its memory with the zygote.
FORKED_MEMBER_BYTES: Final = 16 << 20
COLD_MEMBER_BYTES: Final = 128 << 20
# One that is started costs as much memory and CPU as this many that are forked, so there are that many times fewer.
_FORKED_FOR_ONE_COLD: Final = 8
# Ready sandboxes go long before people's creates are refused.
_FREE_FACTOR: Final = 2

DEMAND_WINDOW_S: Final = 60.0
_CPU_WAIT_MAX: Final = 0.5


class Way(Enum):
    """How one more would come to be: forked, in tens of milliseconds; started, in a second; better not yet.

    The last is while a zygote is on its way: whoever starts one now pays for many.
    """

    FORK = "fork"
    START = "start"
    WAIT = "wait"


# How long filling may be put off because the machine is busy.
PATIENCE_S: Final = {Way.FORK: 0.25, Way.START: 5.0}


def fits(wanted: SandboxSpec, ready: SandboxSpec) -> bool:
    """Tell whether a ready sandbox can become what is wanted by changing limits only."""
    return wanted.disk_bytes == ready.disk_bytes and wanted.memory_bytes >= MEMORY_BYTES_MIN


class Demand:
    """How many ready sandboxes there should be: as many as were asked for in the last minute, within the bounds."""

    def __init__(self, pool_min: int, pool_max: int) -> None:
        self._pool_min = min(pool_min, pool_max)
        self._pool_max = pool_max
        self._asked_at: deque[float] = deque(maxlen=pool_max)

    def asked(self, now: float) -> None:
        """One was asked for that a ready one fits, whether there was one or not."""
        self._asked_at.append(now)

    def target(self, now: float) -> int:
        """Give how many there should be."""
        while self._asked_at and self._asked_at[0] < now - DEMAND_WINDOW_S:
            self._asked_at.popleft()
        return max(self._pool_min, len(self._asked_at))


def target_of(way: Way, target: int) -> int:
    """Give how many there should be when they are made in that way, of how many there should be of forked ones."""
    return -(-target // _FORKED_FOR_ONE_COLD) if way is Way.START else target


def room(machine: Machine, *, sandboxes: int, ready: int, member_bytes: int) -> int:
    """Give how many more ready sandboxes the machine has room for; below zero, how many there are too many.

    ``sandboxes`` counts those that are not in the pool.
    """
    slots = machine.sandboxes_max - sandboxes - ready
    if machine.disk_free_bytes < _FREE_FACTOR * machine.disk_free_bytes_min:
        return -ready
    spare_bytes = machine.memory_free_bytes - _FREE_FACTOR * machine.memory_free_bytes_min
    return max(-ready, min(slots, spare_bytes // max(1, member_bytes)))


class Step(Enum):
    """What is to be done next."""

    MAKE = "make"
    GIVE_UP = "give up"
    REST = "rest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What the next step follows from.

    ``creating`` counts sandboxes that are being made because somebody waits for them; ``cpu_wait`` is the share of the
    last moment in which something on the machine waited for a CPU (0 to 1); ``put_off_s`` is how long a step has been
    put off for these.
    """

    ready: int
    target: int
    way: Way
    room: int
    creating: int
    cpu_wait: float
    put_off_s: float


def next_step(sight: Sight) -> Step:
    """Decide. A busy machine puts filling off, but not for ever: a pool that never fills helps nobody."""
    if sight.ready > sight.target or (sight.ready > 0 and sight.room < 0):
        return Step.GIVE_UP
    if not is_short(sight):
        return Step.REST
    is_busy = sight.cpu_wait > _CPU_WAIT_MAX
    if sight.way is Way.START:  # one that is forked is ready sooner than those in flight, and the next to ask has it
        is_busy = is_busy or sight.creating > 0
    return Step.REST if is_busy and sight.put_off_s < PATIENCE_S[sight.way] else Step.MAKE


def is_short(sight: Sight) -> bool:
    """Tell whether one more should be made, now or when the machine is less busy."""
    return sight.ready < sight.target and sight.room > 0 and sight.way is not Way.WAIT
