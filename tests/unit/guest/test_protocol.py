"""Frames: whatever way a stream is cut, the same frames come out, and nonsense is refused at its header."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.guest.protocol import (
    DATA_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    FrameDecoder,
    FrameType,
    ProtocolError,
    decode_image,
    decode_json,
    encode,
    encode_image,
    encode_json,
)

frames = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([kind for kind in FrameType if kind is not FrameType.END]), st.binary(max_size=64)),
        st.just((FrameType.END, b"")),
    ),
    max_size=8,
)


@given(frames, st.lists(st.integers(1, 30), min_size=1))
def test_frames_survive_any_cutting(expected: list[tuple[FrameType, bytes]], cuts: list[int]) -> None:
    stream = b"".join(encode(kind, payload) for kind, payload in expected)
    decoder, seen, turn = FrameDecoder(), [], 0
    while stream:
        size = cuts[turn % len(cuts)]
        turn += 1
        seen += list(decoder.feed(stream[:size]))
        stream = stream[size:]
    assert joined(seen) == joined(expected)
    assert decoder.at_boundary
    assert decoder.buffered_bytes == 0


def joined(frames: list[tuple[FrameType, bytes]]) -> list[tuple[FrameType, bytes]]:
    """Make one of neighbouring ``DATA``: where it was cut means nothing."""
    found: list[tuple[FrameType, bytes]] = []
    for kind, payload in frames:
        if kind is FrameType.DATA and found and found[-1][0] is FrameType.DATA:
            found[-1] = (kind, found[-1][1] + payload)
        else:
            found.append((kind, payload))
    return found


def test_data_is_given_as_it_comes() -> None:
    decoder = FrameDecoder()
    frame = encode(FrameType.DATA, b"abcd")
    assert list(decoder.feed(frame[:3])) == []
    assert list(decoder.feed(frame[3:7])) == [(FrameType.DATA, b"ab")]
    assert decoder.buffered_bytes == 0
    assert not decoder.at_boundary
    assert list(decoder.feed(frame[7:] + encode(FrameType.DATA))) == [(FrameType.DATA, b"cd"), (FrameType.DATA, b"")]
    assert decoder.at_boundary


@given(st.binary(max_size=200))
def test_garbage_gives_frames_or_an_error_and_is_never_hoarded(garbage: bytes) -> None:
    decoder = FrameDecoder()
    try:
        for kind, payload in decoder.feed(garbage):
            assert len(payload) <= PAYLOAD_BYTES_MAX[kind]
    except ProtocolError:
        pass
    assert decoder.buffered_bytes <= len(garbage)


def test_a_frame_may_be_as_long_as_its_limit_and_not_one_byte_longer() -> None:
    assert encode(FrameType.DATA, bytes(DATA_BYTES_MAX))
    with pytest.raises(ProtocolError):
        encode(FrameType.DATA, bytes(DATA_BYTES_MAX + 1))
    with pytest.raises(ProtocolError):
        list(FrameDecoder().feed(struct.pack(">BI", FrameType.DATA, DATA_BYTES_MAX + 1)))


def test_an_end_frame_carries_nothing() -> None:
    with pytest.raises(ProtocolError):
        list(FrameDecoder().feed(struct.pack(">BI", FrameType.END, 1)))


@pytest.mark.parametrize("payload", [b"", b"[]", b"nonsense", b"\xff", b"[" * 100_000])
def test_json_that_is_no_object_is_refused(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_json(payload)


def test_an_image_names_its_type() -> None:
    frame = encode_image("image/png", b"a\0b")
    ((kind, payload),) = FrameDecoder().feed(frame)
    assert kind is FrameType.IMAGE
    media_type, data = decode_image(payload)
    assert (media_type, bytes(data)) == ("image/png", b"a\0b")
    with pytest.raises(ProtocolError):
        decode_image(b"no separator")


def test_json_travels() -> None:
    ((kind, payload),) = FrameDecoder().feed(encode_json(FrameType.RESULT, {"ä": 1}))
    assert (kind, decode_json(payload)) == (FrameType.RESULT, {"ä": 1})
