"""Hostile and clumsy hosts: whatever comes in, the agent lives and answers the next."""

import os
import struct
from pathlib import Path

import pytest

from atoll.guest.protocol import FrameType, encode, encode_json
from tests.harness.poll import wait_until
from tests.unit.guest.agent_process import Agent, Call


def test_hello(shared_agent: Agent) -> None:
    assert shared_agent.call(op="hello").answer().result == {"protocol": 1}


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(os.urandom(64), id="random"),
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">BI", FrameType.REQUEST, 0xFFFFFFFF),
        struct.pack(">BI", FrameType.REQUEST, 9) + b"[1, 2, 3]",
        struct.pack(">BI", FrameType.REQUEST, 4) + b"\xff\xff\xff\xff",
        encode(FrameType.DATA, b"before any request"),
        encode(FrameType.END),
        encode(FrameType.REQUEST, b"[" * 100_000),
        encode_json(FrameType.REQUEST, {}),
        encode_json(FrameType.REQUEST, {"op": None}),
        encode_json(FrameType.REQUEST, {"op": ["python"]}),
        encode_json(FrameType.REQUEST, {"op": "python"}),
        encode_json(
            FrameType.REQUEST, {"op": "python", "code": 1, "timeout_ms": 1, "output_bytes_max": 1, "images_max": 1}
        ),
        encode_json(
            FrameType.REQUEST, {"op": "python", "code": "1", "timeout_ms": True, "output_bytes_max": 1, "images_max": 1}
        ),
        encode_json(
            FrameType.REQUEST, {"op": "python", "code": "1", "timeout_ms": 0, "output_bytes_max": 1, "images_max": 1}
        ),
        encode_json(
            FrameType.REQUEST, {"op": "python", "code": "1", "timeout_ms": 1, "output_bytes_max": -1, "images_max": 1}
        ),
        encode_json(FrameType.REQUEST, {"op": "shell", "commands": "ls", "timeout_ms": 1}),
        encode_json(FrameType.REQUEST, {"op": "shell", "commands": [], "timeout_ms": 1}),
        encode_json(FrameType.REQUEST, {"op": "shell", "commands": ["a\0b"], "timeout_ms": 1}),
        encode_json(FrameType.REQUEST, {"op": "file_get", "path": "/mnt/data/x", "offset": -1, "length": None}),
        encode_json(FrameType.REQUEST, {"op": "file_put", "path": "/mnt/data/x", "exclusive": "yes"}),
    ],
)
def test_nonsense_is_refused_and_the_agent_lives(shared_agent: Agent, garbage: bytes) -> None:
    call = Call(shared_agent.socket_path).send(garbage)
    assert call.answer().failure["code"] == "bad_request"
    assert shared_agent.is_well()


def test_text_that_is_not_utf_8_is_refused(shared_agent: Agent) -> None:
    payload = b'{"op":"python","code":"\\ud800","timeout_ms":9000,"output_bytes_max":99,"images_max":0}'
    answer = Call(shared_agent.socket_path).send(encode(FrameType.REQUEST, payload)).answer()
    assert answer.failure["code"] == "bad_request"


def test_half_open_connections_are_bounded_and_harm_nobody(agent: Agent) -> None:
    calls = [Call(agent.socket_path) for _ in range(60)]
    for call in calls:
        call.send(struct.pack(">BI", FrameType.REQUEST, 8_000_000)[:3])
    assert agent.is_well()
    for call in calls:
        call.close()
    assert agent.is_well()


def test_more_connections_than_allowed_wait_for_room(agent: Agent) -> None:
    calls = [Call(agent.socket_path) for _ in range(64)]
    late = Call(agent.socket_path).ask(op="hello")
    calls[0].close()
    assert late.answer().result == {"protocol": 1}
    for call in calls:
        call.close()


def test_half_sent_requests_are_not_hoarded(agent: Agent) -> None:
    calls = [Call(agent.socket_path) for _ in range(8)]
    for call in calls:
        try:
            call.send(struct.pack(">BI", FrameType.REQUEST, 8_000_000), bytes(7_000_000))
        except (BrokenPipeError, ConnectionResetError):
            continue
    assert agent.is_well()
    status = Path(f"/proc/{agent.process.pid}/status").read_text()
    (size,) = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")]
    assert size < 100_000
    for call in calls:
        call.close()


def test_too_many_waiting_calls_are_told_to_come_back(agent: Agent) -> None:
    running = agent.begin_shell("echo ready; sleep 60")
    running.read_until("ready")
    waiting = [agent.begin_shell("true") for _ in range(8)]
    assert agent.is_well()
    assert agent.shell("true").failure["code"] == "busy"
    agent.call(op="interrupt").answer()
    assert running.answer().outcome == "interrupted"
    for call in waiting:
        assert call.answer().exit_codes == [0]


def test_a_host_that_talks_out_of_turn_is_hung_up_on(agent: Agent) -> None:
    call = agent.begin_shell("echo $$; sleep 60")
    pid = call.read_until("\n").strip()
    call.ask(op="hello")
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the command is gone")
    call.close()
    assert agent.is_well()
