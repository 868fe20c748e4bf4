"""Frames of a Python call become events, and only good ones do."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.agent.errors import AgentMisbehavedError
from atoll.agent.outcome import Outcome, OutcomeType
from atoll.agent.python import AgentPythonEnded, AgentPythonEvent, PythonReader
from atoll.agent.quota import SLACK_BYTES
from atoll.guest.protocol import FrameType, encode_image
from atoll.model.calls import Html, Image, Logs

PNG = encode_image("image/png", b"png")[5:]


def reader(output_bytes_max: int = 1000, images_max: int = 3, images_bytes_max: int = 1000) -> PythonReader:
    return PythonReader(output_bytes_max=output_bytes_max, images_max=images_max, images_bytes_max=images_bytes_max)


def result(**changes: Any) -> bytes:
    return json.dumps(
        {"outcome": {"type": "ok"}, "omitted_bytes": 0, "images_omitted": 0, "files": [], **changes}
    ).encode()


def events(subject: PythonReader, *frames: tuple[FrameType, bytes]) -> list[AgentPythonEvent]:
    return [event for frame_type, payload in frames for event in subject.take(frame_type, payload)]


def test_text_and_images_come_in_order_and_the_end_last() -> None:
    found = events(
        reader(),
        (FrameType.STDOUT, b"one"),
        (FrameType.IMAGE, PNG),
        (FrameType.STDOUT, b"two"),
        (FrameType.RESULT, result(files=[{"path": "/mnt/data/a", "size": 1, "mtime_ns": 2}], omitted_bytes=7)),
    )
    assert found[:3] == [Logs("one"), Image("image/png", b"cG5n"), Logs("two")]
    ended = found[3]
    assert isinstance(ended, AgentPythonEnded)
    assert ended.outcome == Outcome(OutcomeType.OK)
    assert ended.omitted_bytes == 7
    assert [file.path for file in ended.files] == ["/mnt/data/a"]


def test_html_comes_where_it_was_asked_for_and_is_misbehaviour_elsewhere() -> None:
    html = encode_image("text/html", b"<b>\xff</b>")[5:]
    subject = PythonReader(output_bytes_max=10, images_max=1, images_bytes_max=1000, html=True)
    assert events(subject, (FrameType.IMAGE, html)) == [Html("<b>\ufffd</b>")]
    with pytest.raises(AgentMisbehavedError, match="impossible type"):
        events(reader(), (FrameType.IMAGE, html))


def test_characters_cut_in_two_are_put_together_and_a_lost_half_is_shown() -> None:
    turtle = "🐢".encode()
    found = events(
        reader(),
        (FrameType.STDOUT, turtle[:2]),
        (FrameType.STDOUT, turtle[2:] + turtle[:1]),
        (FrameType.RESULT, result()),
    )
    assert found[:2] == [Logs("🐢"), Logs("\ufffd")]


def test_output_at_its_limit_passes_and_one_byte_more_does_not() -> None:
    subject = reader(output_bytes_max=10)
    events(subject, (FrameType.STDOUT, b"x" * (10 + SLACK_BYTES)))
    with pytest.raises(AgentMisbehavedError):
        events(subject, (FrameType.STDOUT, b"x"))


def test_empty_frames_count_too() -> None:
    subject = reader(output_bytes_max=0)
    events(subject, *[(FrameType.STDOUT, b"")] * SLACK_BYTES)
    with pytest.raises(AgentMisbehavedError):
        events(subject, (FrameType.STDOUT, b""))


def test_more_images_than_asked_for_are_misbehaviour() -> None:
    subject = reader(images_max=1)
    events(subject, (FrameType.IMAGE, PNG))
    with pytest.raises(AgentMisbehavedError):
        events(subject, (FrameType.IMAGE, PNG))


def test_images_too_large_together_are_left_out_and_counted() -> None:
    found = events(
        reader(images_max=3, images_bytes_max=5),
        (FrameType.IMAGE, PNG),
        (FrameType.IMAGE, PNG),
        (FrameType.RESULT, result(images_omitted=2)),
    )
    assert found[0] == Image("image/png", b"cG5n")
    ended = found[1]
    assert isinstance(ended, AgentPythonEnded)
    assert ended.images_omitted == 3


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"no separator",
        b"image/png\0",
        b"\0data",
        b"text/html\0data",
        b"IMAGE/PNG\0x",
        b"image/\xff\0x",
        b"image/a b\0x",
    ],
)
def test_images_that_are_none_are_refused(payload: bytes) -> None:
    with pytest.raises(AgentMisbehavedError):
        events(reader(), (FrameType.IMAGE, payload))


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ({"type": "ok", "signal": 9}, Outcome(OutcomeType.OK)),
        ({"type": "error"}, Outcome(OutcomeType.ERROR)),
        ({"type": "timeout"}, Outcome(OutcomeType.TIMEOUT)),
        ({"type": "interrupted"}, Outcome(OutcomeType.INTERRUPTED)),
        ({"type": "died", "signal": 9, "exit_code": None}, Outcome(OutcomeType.DIED, signal=9)),
        ({"type": "died", "signal": None, "exit_code": 3}, Outcome(OutcomeType.DIED, exit_code=3)),
        ({"type": "died"}, Outcome(OutcomeType.DIED)),
    ],
)
def test_outcomes(outcome: dict[str, Any], expected: Outcome) -> None:
    ended = events(reader(), (FrameType.RESULT, result(outcome=outcome)))[0]
    assert isinstance(ended, AgentPythonEnded)
    assert ended.outcome == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": None},
        {"outcome": "ok"},
        {"outcome": {}},
        {"outcome": {"type": "fine"}},
        {"outcome": {"type": ["ok"]}},
        {"outcome": {"type": "died", "signal": 0}},
        {"outcome": {"type": "died", "signal": 65}},
        {"outcome": {"type": "died", "exit_code": 256}},
        {"outcome": {"type": "died", "exit_code": -1}},
        {"omitted_bytes": -1},
        {"omitted_bytes": None},
        {"images_omitted": 2**63},
        {"files": {}},
        {"files": None},
        {"files": ["/mnt/data/a"]},
        {"files": [{"path": "/etc/passwd", "size": 1, "mtime_ns": 1}]},
    ],
)
def test_a_result_with_a_wrong_field_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(AgentMisbehavedError):
        events(reader(), (FrameType.RESULT, result(**changes)))


@pytest.mark.parametrize("frame_type", set(FrameType) - {FrameType.STDOUT, FrameType.IMAGE, FrameType.RESULT})
def test_other_frames_have_no_place(frame_type: FrameType) -> None:
    with pytest.raises(AgentMisbehavedError):
        events(reader(), (frame_type, b"{}"))


@given(st.lists(st.tuples(st.sampled_from(list(FrameType)), st.binary(max_size=50))))
def test_no_frames_make_anything_but_events_or_misbehaviour(frames: list[tuple[FrameType, bytes]]) -> None:
    try:
        found = events(reader(), *frames)
    except AgentMisbehavedError:
        return
    assert all(isinstance(event, Logs | Image | AgentPythonEnded) for event in found)
