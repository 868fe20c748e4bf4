"""What supervisor and egress process say to each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.egress import handover
from atoll.egress.handover import Answer, HandoverError, Held, Request
from atoll.model.network_policy import NetworkPolicy

SANDBOX = "sbx_" + "0" * 32
POLICY = NetworkPolicy("allowlist", ("example.com", "*.example.org"))
REQUESTS = [
    Request(id=1, op="open", sandbox_id=SANDBOX, run="1-2", policy=POLICY, ports=(53, 53, 80, 443)),
    Request(id=2, op="change", sandbox_id=SANDBOX, policy=POLICY),
    Request(id=3, op="close", sandbox_id=SANDBOX),
    Request(id=4, op="name", sandbox_id=SANDBOX, container_id="cntr_" + "1" * 48),
    Request(id=5, op="change", sandbox_id=SANDBOX, policy=POLICY, container_id="cntr_" + "1" * 48),
]


@pytest.mark.parametrize("request_", REQUESTS)
def test_requests(request_: Request) -> None:
    assert handover.decode_request(handover.encode_request(request_)) == request_


def test_the_largest_policy_fits_into_a_message() -> None:
    name = ".".join(["a" * 63] * 3 + ["a" * 61])
    policy = NetworkPolicy("allowlist", tuple(f"{name}:65535" for _ in range(1000)))
    packet = handover.encode_request(Request(id=1, op="change", sandbox_id=SANDBOX, policy=policy))
    assert len(packet) < handover.MESSAGE_BYTES_MAX


def test_replies() -> None:
    answer = Answer(7, is_known=True)
    assert handover.decode_reply(handover.encode_answer(answer)) == answer
    runs = {f"sbx_{number:032x}": str(number) for number in range(1200)}
    found: dict[str, str] = {}
    replies = [handover.decode_reply(packet) for packet in handover.encode_held(runs)]
    for reply in replies:
        assert isinstance(reply, Held)
        assert reply.has_more is (reply is not replies[-1])
        found.update(reply.runs)
    assert found == runs
    assert [handover.decode_reply(packet) for packet in handover.encode_held({})] == [Held({}, has_more=False)]


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"[]",
        b"{}",
        b'{"id": 1, "op": "open", "sandbox_id": "../x"}',
        b'{"id": 1, "op": "close", "sandbox_id": 1}',
        b'{"id": 1, "op": "name", "sandbox_id": "sbx_00000000000000000000000000000000", "container_id": "x"}',
        b'{"id": -1, "op": "close", "sandbox_id": "sbx_00000000000000000000000000000000"}',
        b'{"id": 1, "op": "change", "sandbox_id": "sbx_00000000000000000000000000000000", "policy": {}}',
    ],
)
def test_what_is_no_request(packet: bytes) -> None:
    with pytest.raises(HandoverError):
        handover.decode_request(packet)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_an_error(packet: bytes) -> None:
    for decode in (handover.decode_request, handover.decode_reply):
        try:
            decode(packet)
        except HandoverError:
            continue
