"""The memory tiers a container can be asked for."""

from enum import StrEnum


class MemoryLimit(StrEnum):
    """A tier, written as on the wire."""

    ONE_GIB = "1g"
    FOUR_GIB = "4g"
    SIXTEEN_GIB = "16g"
    SIXTY_FOUR_GIB = "64g"

    @property
    def size_bytes(self) -> int:
        """The tier in bytes (``1g`` is 2**30)."""
        return int(self.value.removesuffix("g")) << 30
