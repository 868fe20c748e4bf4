"""Frames of a program become events in the only order that there can be."""

import json
from typing import Any

import pytest

from atoll.agent.errors import AgentMisbehavedError
from atoll.agent.process import AgentProcessEnded, AgentProcessEvent, AgentProcessStarted, ProcessReader
from atoll.agent.quota import SLACK_BYTES
from atoll.guest.protocol import FrameType
from atoll.model.processes import Exited, Lost, ProcessGap, ProcessOutput, Signalled, TimedOut

Frame = tuple[FrameType, bytes]
STARTED: Frame = (FrameType.EVENT, b'{"event": "started"}')


def gap(stream: str = "stdout", count: Any = 5) -> Frame:
    return FrameType.EVENT, json.dumps({"event": "omitted", "stream": stream, "bytes": count}).encode()


def result(outcome: dict[str, Any], **fields: Any) -> Frame:
    return FrameType.RESULT, json.dumps({"outcome": outcome, "made_room": False, "pids_taken": 3, **fields}).encode()


def read(*frames: Frame, output_bytes_max: int = 100) -> list[AgentProcessEvent]:
    reader = ProcessReader(output_bytes_max=output_bytes_max)
    return [event for frame in frames for event in reader.take(*frame)]


def test_from_its_start_to_its_end() -> None:
    told = read(
        STARTED,
        (FrameType.STDOUT, b"\xff\0"),
        (FrameType.STDERR, b"e"),
        gap("stdout"),
        gap("stderr", 1),
        result({"type": "exit", "exit_code": 3}),
    )
    assert told == [
        AgentProcessStarted(),
        ProcessOutput(b"\xff\0", b""),
        ProcessOutput(b"", b"e"),
        ProcessGap(is_stderr=False, omitted_bytes=5),
        ProcessGap(is_stderr=True, omitted_bytes=1),
        AgentProcessEnded(outcome=Exited(3), made_room=False, pids_taken=3),
    ]


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ({"type": "signal", "signal": 64}, Signalled(64)),
        ({"type": "timeout"}, TimedOut()),
        ({"type": "interrupted"}, Lost()),
    ],
)
def test_other_ends(outcome: dict[str, Any], expected: object) -> None:
    (ended,) = read(result(outcome))
    assert isinstance(ended, AgentProcessEnded)
    assert ended.outcome == expected


@pytest.mark.parametrize(
    "frames",
    [
        [(FrameType.STDOUT, b"x")],
        [STARTED, STARTED],
        [gap()],
        [STARTED, gap(), gap()],
        [STARTED, gap("stdin")],
        [STARTED, gap(count=0)],
        [STARTED, gap(count="5")],
        [STARTED, (FrameType.EVENT, b'{"event": "command_ended"}')],
        [STARTED, (FrameType.EVENT, b"[]")],
        [STARTED, (FrameType.IMAGE, b"image/png\0x")],
        [STARTED, (FrameType.STDOUT, b"x" * (101 + SLACK_BYTES))],
        [STARTED, *[(FrameType.STDOUT, b"")] * (101 + SLACK_BYTES)],
        [result({"type": "exit"})],
        [result({"type": "exit", "exit_code": 256})],
        [result({"type": "signal", "signal": 0})],
        [result({"type": "signal", "signal": 65})],
        [result({"type": "ok"})],
        [result({"type": "timeout"}, made_room=None)],
    ],
)
def test_nothing_else_is_taken(frames: list[Frame]) -> None:
    with pytest.raises(AgentMisbehavedError):
        read(*frames)
