"""Ids sort in the order they were made in, whatever the clock does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.model.ids import HEX_DIGITS, IdGenerator, Prefix, created_at, created_at_ns, is_id

PREFIXES = st.sampled_from(sorted(HEX_DIGITS))
NANOSECONDS = st.integers(0, (1 << 32) * 10**9 - 1000)


@given(PREFIXES, st.lists(NANOSECONDS, min_size=2, max_size=20))
def test_ids_of_any_clock_sort_and_have_the_form(prefix: Prefix, times: list[int]) -> None:
    clock = iter(times)
    generator = IdGenerator(lambda: next(clock))
    made = [generator.new(prefix) for _ in times]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert all(is_id(prefix, one) for one in made)


@given(PREFIXES, NANOSECONDS)
def test_an_id_tells_its_time(prefix: Prefix, now: int) -> None:
    made = IdGenerator(lambda: now).new(prefix)
    assert created_at_ns(prefix, made) == max(now, 1)
    assert created_at(prefix, made) == created_at_ns(prefix, made) // 10**9


@given(NANOSECONDS, NANOSECONDS)
def test_order_goes_on_after_a_restart(before: int, after: int) -> None:
    last = IdGenerator(lambda: before).new("cntr_")
    newer = IdGenerator(lambda: after, not_before_ns=created_at_ns("cntr_", last)).new("cntr_")
    assert newer > last


@given(st.text())
def test_other_text_is_no_id(text: str) -> None:
    assert not is_id("cntr_", text)


@pytest.mark.parametrize(
    "text",
    [
        "cntr_" + "a" * 47,
        "cntr_" + "a" * 49,
        "cntr_" + "A" * 48,
        "cntr_" + "g" * 48,
        "cntr_" + "a" * 48 + "\n",
        "cfile_" + "a" * 48,
        " cntr_" + "a" * 48,
        "cntr_" + "٣" * 48,
    ],
)
def test_almost_ids_are_none(text: str) -> None:
    assert not is_id("cntr_", text)
