"""What a container holds and has used, now and in the last minutes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What a network policy let through, in bytes as the container sees them, and how often it refused."""

    sent: int
    received: int
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsSample:
    """One look. ``at`` is in unix seconds; ``cores`` were used since the look before it."""

    at: float
    memory_bytes: int
    cores: float
    processes: int
    disk_bytes: int | None
    traffic: Traffic | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStats:
    """``None`` is no limit. ``cpu_s`` counts since the sandbox was started; ``history`` is in order."""

    now: StatsSample
    cpu_s: float
    memory_bytes_max: int | None
    cores_max: float | None
    processes_max: int | None
    disk_bytes_max: int | None
    history: tuple[StatsSample, ...]
