"""Decides whether the machine has room for one more sandbox; pure."""

from dataclasses import dataclass

from atoll.runtime.contract import NoRoomError, SandboxSpec, SpecRefusedError
from atoll.runtime.oci.disk import DISK_BYTES_MIN

_GIB = 1 << 30
# Below these a Python does not start.
_MEMORY_BYTES_MIN = 32 << 20
_PIDS_MIN = 8
_CPUS_MIN = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What there is: memory, disk under the sandboxes' folder, and how far each may be promised.

    An overcommit of 4 lets the limits add up to four times what there is. Below a minimum nobody is let in.
    """

    memory_bytes: int
    memory_free_bytes: int
    memory_free_bytes_min: int
    memory_overcommit: float
    disk_free_bytes: int
    disk_free_bytes_min: int
    disk_overcommit: float
    sandboxes_max: int

    @property
    def memory_promised_bytes_max(self) -> int:
        """How much memory the limits of those that run may add up to."""
        return int(self.memory_bytes * self.memory_overcommit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What is promised: memory to the sandboxes that run, disk to those that exist."""

    memory_bytes: int
    disk_bytes: int
    sandboxes: int


def check_spec(spec: SandboxSpec, machine_memory_bytes: int) -> None:
    """Raise ``SpecRefusedError`` for what this machine can never give."""
    if spec.memory_bytes > machine_memory_bytes:
        raise SpecRefusedError(
            f"this machine has {machine_memory_bytes / _GIB:.1f} GiB of memory, "
            f"less than the {spec.memory_bytes / _GIB:.1f} GiB asked for"
        )
    if spec.memory_bytes < _MEMORY_BYTES_MIN:
        raise SpecRefusedError(f"a sandbox needs at least {_MEMORY_BYTES_MIN >> 20} MiB of memory")
    if spec.disk_bytes < DISK_BYTES_MIN:
        raise SpecRefusedError(f"a sandbox needs a disk of at least {DISK_BYTES_MIN >> 20} MiB")
    if spec.pids_max < _PIDS_MIN:
        raise SpecRefusedError(f"a sandbox needs at least {_PIDS_MIN} processes")
    if spec.cpus < _CPUS_MIN:
        raise SpecRefusedError(f"a sandbox needs at least {_CPUS_MIN} of a CPU")


def is_short(machine: Machine) -> bool:
    """Tell whether something is really used up, and not only promised."""
    is_memory_short = machine.memory_free_bytes < machine.memory_free_bytes_min
    return is_memory_short or machine.disk_free_bytes <= machine.disk_free_bytes_min


def check_room(spec: SandboxSpec, machine: Machine, committed: Committed, *, is_new: bool) -> None:
    """Raise ``NoRoomError`` when this sandbox cannot be let in now.

    One that is not new is among ``committed`` with its disk, not with its memory.
    """
    memory_max = machine.memory_promised_bytes_max
    if committed.memory_bytes + spec.memory_bytes > memory_max:
        raise NoRoomError(
            f"{committed.memory_bytes / _GIB:.1f} of {memory_max / _GIB:.1f} GiB of memory are promised to running "
            "sandboxes; no room for another one now",
            reason="memory_promised",
        )
    if machine.memory_free_bytes < machine.memory_free_bytes_min:
        raise NoRoomError("the machine's memory is nearly all in use", reason="memory_used")
    free = machine.disk_free_bytes - machine.disk_free_bytes_min
    if free <= 0:
        raise NoRoomError("the disk under the sandboxes is nearly full", retry_after_s=60, reason="disk_used")
    if not is_new:
        return
    if committed.disk_bytes + spec.disk_bytes > free * machine.disk_overcommit:
        raise NoRoomError(
            "the disk under the sandboxes is promised to those that exist", retry_after_s=60, reason="disk_promised"
        )
    if committed.sandboxes >= machine.sandboxes_max:
        raise NoRoomError(
            f"there are {committed.sandboxes} sandboxes, as many as there may be", retry_after_s=60, reason="sandboxes"
        )
