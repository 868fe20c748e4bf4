"""Ranges of host user ids: each sandbox that runs has one of its own, so that no two share an owner."""

from typing import Final

IDS_PER_SLOT: Final = 65536
FIRST_HOST_ID: Final = 0x70000000
SLOTS_MAX: Final = 4096
# Behind all slots: owners of an image's files as a zygote sees them. Nobody ever runs as one of these.
NOBODYS_HOST_ID: Final = FIRST_HOST_ID + SLOTS_MAX * IDS_PER_SLOT


def first_host_id(slot: int) -> int:
    """Give the host id that is 0 inside the sandbox of a slot."""
    if not 0 <= slot < SLOTS_MAX:
        raise ValueError(f"there is no slot {slot}")
    return FIRST_HOST_ID + slot * IDS_PER_SLOT


class NoSlotError(Exception):
    """All slots are taken."""


class Slots:
    """Which slots are taken; not locked, its owner is."""

    def __init__(self, count: int = SLOTS_MAX) -> None:
        self._count = count
        self._taken: set[int] = set()

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, wish: int) -> int:
        """Take the first free slot from ``wish`` on, round the end; raise ``NoSlotError`` when there is none.

        Starting at different places keeps two supervisors on one machine, who do not know of each other, apart.
        """
        for step in range(self._count):
            slot = (wish + step) % self._count
            if slot not in self._taken:
                self._taken.add(slot)
                return slot
        raise NoSlotError

    def claim(self, slot: int) -> None:
        """Take a slot that was found in use."""
        self._taken.add(slot)

    def release(self, slot: int) -> None:
        """Give a slot back."""
        self._taken.discard(slot)
