"""Ranges of user ids."""

import pytest

from atoll.runtime.oci.slots import FIRST_HOST_ID, SLOTS_MAX, NoSlotError, Slots, first_host_id


def test_ranges_do_not_touch_and_fit() -> None:
    assert first_host_id(0) == FIRST_HOST_ID
    assert first_host_id(1) - first_host_id(0) == 65536
    assert first_host_id(SLOTS_MAX - 1) + 65535 < 2**31
    for wrong in (-1, SLOTS_MAX):
        with pytest.raises(ValueError, match="slot"):
            first_host_id(wrong)


def test_taking_goes_on_round_the_end() -> None:
    slots = Slots(3)
    assert [slots.take(1), slots.take(1), slots.take(7)] == [1, 2, 0]
    with pytest.raises(NoSlotError):
        slots.take(0)
    slots.release(2)
    slots.release(2)
    assert slots.take(0) == 2


def test_a_claimed_slot_is_not_given_out() -> None:
    slots = Slots(2)
    slots.claim(0)
    assert slots.take(0) == 1
    assert len(slots) == 2
