"""Frames are cut as they were sent, however the bytes come; what is no frame raises one error only."""

import itertools
import os

import pytest
from hyperframe.frame import ContinuationFrame, DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, SettingsFrame
from hypothesis import given
from hypothesis import strategies as st

from atoll.egress.http2_frames import FRAME_BYTES_MAX, FRAMES_AT_ONCE, FrameCutter, FrameError, Frames, GoAway

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ENDED = DataFrame(1, flags=["END_STREAM"])
SENT: list[Frame] = [
    SettingsFrame(0),
    HeadersFrame(1, data=b"head"),
    DataFrame(1, data=os.urandom(FRAME_BYTES_MAX)),
    DataFrame(1),
    GoAwayFrame(0, last_stream_id=7, error_code=2, additional_data=b"why"),
    PingFrame(0, opaque_data=b"12345678"),
    ENDED,
]


def cut(pieces: list[bytes], *, has_preface: bool = True) -> list[Frames | GoAway]:
    cutter = FrameCutter(has_preface=has_preface)
    return [part for piece in pieces for part in cutter.cut(piece)]


@given(st.lists(st.integers(0, 40_000), max_size=12))
def test_however_it_comes(places: list[int]) -> None:
    sent = PREFACE + b"".join(frame.serialize() for frame in SENT)
    ends = [0, *sorted(min(place, len(sent)) for place in places), len(sent)]
    parts = cut([sent[begin:end] for begin, end in itertools.pairwise(ends)])
    assert [part for part in parts if isinstance(part, GoAway)] == [GoAway(7, 2)]
    passed = b"".join(part.data for part in parts if isinstance(part, Frames))
    assert passed == PREFACE + b"".join(frame.serialize() for frame in SENT if not isinstance(frame, GoAwayFrame))
    # Settings, head, data without data, ping: all but what carries bytes, or an end.
    assert sum(part.idle_count for part in parts if isinstance(part, Frames)) == 4


def test_little_at_once() -> None:
    parts = cut([PingFrame(0).serialize() * (2 * FRAMES_AT_ONCE + 1)], has_preface=False)
    assert [part.idle_count for part in parts if isinstance(part, Frames)] == [FRAMES_AT_ONCE, FRAMES_AT_ONCE, 1]
    assert len(cut([HeadersFrame(1).serialize() * 3], has_preface=False)) == 3


@given(st.binary(max_size=100), st.booleans())
def test_whatever_comes(data: bytes, has_preface: bool) -> None:
    cutter = FrameCutter(has_preface=has_preface)
    try:
        parts = list(cutter.cut(data))
    except FrameError:
        return
    assert sum(len(part.data) for part in parts if isinstance(part, Frames)) <= len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        PREFACE[:-1] + b"x",
        PREFACE + (FRAME_BYTES_MAX + 1).to_bytes(3, "big") + bytes(6),
        PREFACE + b"\0\0\7\7\0\0\0\0\0" + bytes(7),
        PREFACE + HeadersFrame(1).serialize() + ContinuationFrame(1, data=bytes(FRAME_BYTES_MAX)).serialize() * 3,
    ],
)
def test_what_is_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        cut([data])
