"""What a runtime counts about itself."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeMetrics:
    """Counted since the runtime's start: sandboxes kept ready, and creates that found one or none."""

    pool_ready: int
    pool_target: int
    pool_hits: int
    pool_misses: int
