"""A connection that carries one call after the other: as good as a new one each time, and no weaker."""

import os

import pytest

from atoll.guest.protocol import FrameType, encode
from tests.unit.guest.agent_process import Agent, Answer, Call

PYTHON = {"op": "python", "timeout_ms": 20_000, "output_bytes_max": 1_000_000, "images_max": 0}


def next_answer(call: Call) -> Answer:
    """Wait for the end of one operation, not of the connection."""
    answer = Answer()
    while not answer.frames or answer.frames[-1][0] not in (FrameType.RESULT, FrameType.FAILURE):
        frame = call.frame()
        assert frame is not None, answer
        answer.frames.append(frame)
    return answer


def test_calls_follow_each_other(shared_agent: Agent) -> None:
    call = Call(shared_agent.socket_path)
    for number in range(3):
        answer = next_answer(call.ask(**PYTHON, keep=True, code=f"print({number})"))
        assert (answer.stdout, answer.outcome) == (f"{number}\n", "ok")
    answer = next_answer(call.ask(op="shell", keep=True, commands=["echo 3"], timeout_ms=20_000))
    assert answer.stdout == "3\n"
    answer = call.ask(**PYTHON, code="print(4)").answer()  # to the connection's end: this one is not kept
    assert answer.stdout == "4\n"


@pytest.mark.parametrize(
    "request_fields",
    [
        {"op": "hello"},
        {"op": "interrupt"},
        {"op": "files_list"},
        {"op": "file_delete", "path": "/mnt/data/none"},
    ],
)
def test_only_calls_keep_their_connection(shared_agent: Agent, request_fields: dict[str, str]) -> None:
    answer = Call(shared_agent.socket_path).ask(**request_fields, keep=True).answer()
    assert answer.frames[-1][0] is FrameType.RESULT


def test_a_failure_ends_the_connection(shared_agent: Agent) -> None:
    answer = Call(shared_agent.socket_path).ask(**PYTHON, keep=True).answer()
    assert answer.failure["code"] == "bad_request"


def test_hanging_up_in_a_later_call_interrupts_it(agent: Agent) -> None:
    call = Call(agent.socket_path)
    next_answer(call.ask(**PYTHON, keep=True, code="1"))
    call.ask(**PYTHON, keep=True, code="print('on', flush=True)\nimport time\ntime.sleep(1000)")
    call.read_until("on")
    call.close()
    assert agent.python("print('next')").stdout.endswith("next\n")


def test_hanging_up_between_calls_harms_nobody(agent: Agent) -> None:
    call = Call(agent.socket_path)
    next_answer(call.ask(**PYTHON, keep=True, code="kept = 1"))
    call.close()
    assert agent.python("kept").stdout == "1\n"


def test_a_request_may_come_in_pieces(shared_agent: Agent) -> None:
    call = Call(shared_agent.socket_path)
    next_answer(call.ask(**PYTHON, keep=True, code="1"))
    call.send(encode(FrameType.REQUEST, b'{"op": "hello"}')[:7])
    assert shared_agent.is_well()
    assert call.send(encode(FrameType.REQUEST, b'{"op": "hello"}')[7:]).answer().result == {"protocol": 1}


@pytest.mark.parametrize(
    "garbage", [pytest.param(os.urandom(64), id="random"), encode(FrameType.END), encode(FrameType.DATA, b"x")]
)
def test_nonsense_between_calls_is_refused(shared_agent: Agent, garbage: bytes) -> None:
    call = Call(shared_agent.socket_path)
    next_answer(call.ask(**PYTHON, keep=True, code="1"))
    assert call.send(garbage).answer().failure["code"] == "bad_request"
    assert shared_agent.is_well()


def test_talking_while_a_call_runs_ends_it(agent: Agent) -> None:
    call = Call(agent.socket_path)
    call.ask(**PYTHON, keep=True, code="print('on', flush=True)\nimport time\ntime.sleep(1000)")
    call.read_until("on")
    call.ask(op="hello")
    while call.frame() is not None:
        pass  # what was on its way
    call.close()
    assert agent.python("print('next')").stdout.endswith("next\n")


def test_kept_connections_count_as_open_ones(agent: Agent) -> None:
    calls = [Call(agent.socket_path) for _ in range(64)]
    next_answer(calls[0].ask(**PYTHON, keep=True, code="1"))
    late = Call(agent.socket_path).ask(op="hello")
    calls[0].close()
    assert late.answer().result == {"protocol": 1}
    for call in calls[1:]:
        call.close()
