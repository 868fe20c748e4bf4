"""Frames of a shell call become events: each command's output, then its one end, in order."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.agent.errors import AgentMisbehavedError
from atoll.agent.outcome import OutcomeType
from atoll.agent.quota import SLACK_BYTES
from atoll.agent.shell import AgentCommandEnded, AgentShellEnded, AgentShellEvent, ShellReader
from atoll.guest.protocol import FrameType
from atoll.model.calls import CommandOutput

Frame = tuple[FrameType, bytes]


def out(data: bytes) -> Frame:
    return FrameType.STDOUT, data


def err(data: bytes) -> Frame:
    return FrameType.STDERR, data


def ended(index: Any, exit_code: Any) -> Frame:
    return FrameType.EVENT, json.dumps({"event": "command_ended", "index": index, "exit_code": exit_code}).encode()


def result(outcome: str = "ok") -> Frame:
    return FrameType.RESULT, json.dumps({"outcome": {"type": outcome}, "files": []}).encode()


def reader(commands_count: int = 2, output_chars_max: int = 1000) -> ShellReader:
    return ShellReader(commands_count=commands_count, output_chars_max=output_chars_max)


def events(subject: ShellReader, *frames: Frame) -> list[AgentShellEvent]:
    return [event for frame_type, payload in frames for event in subject.take(frame_type, payload)]


def test_commands_follow_each_other() -> None:
    found = events(reader(), out(b"a"), err(b"b"), ended(0, 0), out(b"c"), ended(1, 137), result())
    assert found[:-1] == [
        CommandOutput(0, "a", ""),
        CommandOutput(0, "", "b"),
        AgentCommandEnded(0, 0),
        CommandOutput(1, "c", ""),
        AgentCommandEnded(1, 137),
    ]
    assert isinstance(found[-1], AgentShellEnded)
    assert found[-1].outcome.type is OutcomeType.OK


def test_stdout_and_stderr_are_decoded_apart_and_cut_characters_end_with_their_command() -> None:
    turtle = "🐢".encode()
    found = events(
        reader(1), out(turtle[:2]), err(turtle[:2]), out(turtle[2:]), err(turtle[2:3]), ended(0, 0), result()
    )
    assert found[:-1] == [CommandOutput(0, "🐢", ""), CommandOutput(0, "", "\ufffd"), AgentCommandEnded(0, 0)]


def test_half_a_character_does_not_leak_into_the_next_command() -> None:
    found = events(reader(), out(b"\xe2\x82"), ended(0, 0), out(b"\xac"), ended(1, 0), result())
    assert [event.stdout for event in found if isinstance(event, CommandOutput)] == ["\ufffd", "\ufffd"]


@pytest.mark.parametrize("outcome", ["timeout", "interrupted"])
def test_commands_that_were_kept_from_ending_end_without_an_exit_code(outcome: str) -> None:
    found = events(reader(3), ended(0, 0), out(b"x\xe2"), result(outcome))
    assert found[:-1] == [
        AgentCommandEnded(0, 0),
        CommandOutput(1, "x", ""),
        CommandOutput(1, "\ufffd", ""),
        AgentCommandEnded(1, None),
        AgentCommandEnded(2, None),
    ]


@pytest.mark.parametrize(
    "frames",
    [
        [ended(1, 0)],
        [ended(0, 0), ended(0, 0)],
        [ended(0, 0), ended(1, 0), ended(2, 0)],
        [ended(-1, 0)],
        [ended(True, 0)],
        [ended(0.0, 0)],
        [ended(None, 0)],
        [ended(0, 256)],
        [ended(0, -9)],
        [ended(0, "0")],
        [ended(0, False)],
        [ended(0, 0), result()],
        [ended(0, 0), ended(1, 0), out(b"late")],
        [ended(0, 0), ended(1, 0), err(b"late")],
        [result("died")],
        [result("error")],
        [(FrameType.IMAGE, b"image/png\0x")],
        [(FrameType.DATA, b"x")],
        [(FrameType.END, b"")],
        [(FrameType.EVENT, b'{"event":"files","files":[]}')],
        [(FrameType.EVENT, b"nonsense")],
    ],
)
def test_frames_out_of_order_or_out_of_place_are_misbehaviour(frames: list[Frame]) -> None:
    with pytest.raises(AgentMisbehavedError):
        events(reader(), *frames)


def test_the_limit_is_each_command_s_own() -> None:
    subject = reader(2, output_chars_max=10)
    full = 4 * 10 + SLACK_BYTES
    events(subject, out(b"x" * (full - 1)), err(b"x"), ended(0, 0), out(b"x" * full))
    with pytest.raises(AgentMisbehavedError):
        events(subject, err(b"x"))


@given(st.lists(st.sampled_from([out(b"x"), err(b"y"), ended(0, 0), ended(1, 0), ended(1, None), result("timeout")])))
def test_whatever_comes_each_command_ends_once_and_in_order(frames: list[Frame]) -> None:
    subject, found = reader(), []
    try:
        for frame in frames:
            found += events(subject, frame)
            if frame[0] is FrameType.RESULT:
                break
    except AgentMisbehavedError:
        return
    ends = [event.index for event in found if isinstance(event, AgentCommandEnded)]
    assert ends == list(range(len(ends)))
    if found and isinstance(found[-1], AgentShellEnded):
        assert ends == [0, 1]
