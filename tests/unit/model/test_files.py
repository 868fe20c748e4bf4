"""Byte ranges, against what the bytes themselves say."""

from hypothesis import given
from hypothesis import strategies as st

from atoll.model.files import ByteRange

EDGE = st.one_of(st.none(), st.integers(0, 30))


@given(EDGE, EDGE, st.integers(0, 20))
def test_a_range_gives_what_slicing_gives(first: int | None, last: int | None, size: int) -> None:
    content = bytes(range(size))
    if first is None:
        expected = content[max(0, size - last) :] if last else b""
    else:
        expected = content[first:] if last is None else content[first : last + 1]
    resolved = ByteRange(first, last).resolve(size)
    if resolved is None:
        assert expected == b""
    else:
        offset, length = resolved
        assert length > 0
        assert content[offset : offset + length] == expected
