"""Output is kept to the byte up to its limit; over it both ends are, and the gap is counted."""

from hypothesis import given
from hypothesis import strategies as st

from atoll.guest.byte_output import ByteOutput

PIECES = st.lists(st.tuples(st.integers(0, 1), st.binary(max_size=40)), max_size=20)


@given(pieces=PIECES, limit=st.integers(0, 200))
def test_both_ends_are_kept_and_the_rest_is_counted(pieces: list[tuple[int, bytes]], limit: int) -> None:
    output = ByteOutput(limit)
    written, heads, gaps, tails = [b"", b""], [b"", b""], [0, 0], [b"", b""]
    for stream, data in pieces:
        written[stream] += data
        heads[stream] += output.write(data, stream)
    for rest in output.finish():
        gaps[rest.stream], tails[rest.stream] = rest.omitted_bytes, rest.data
    for stream in (0, 1):
        assert written[stream].startswith(heads[stream])
        assert written[stream].endswith(tails[stream])
        assert len(heads[stream]) + gaps[stream] + len(tails[stream]) == len(written[stream])
    kept = sum(map(len, heads + tails))
    assert kept == min(limit, sum(map(len, written)))
    if sum(map(len, written)) <= limit:
        assert gaps == [0, 0]


def test_a_short_stream_is_not_cut_for_the_sake_of_a_long_one() -> None:
    output = ByteOutput(100)
    output.write(b"x" * 10_000, 0)
    output.write(b"the end", 1)
    long, short = output.finish()
    assert (short.omitted_bytes, short.data) == (0, b"the end")
    assert len(long.data) == 50 - len(b"the end")
