"""What server and supervisor say to each other, there and back; and what is refused."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.egress import handover
from atoll.model.ids import SandboxId
from atoll.model.network_policy import DomainSecret, NetworkPolicy, policy_to_json
from atoll.model.runtime_metrics import Durations, RuntimeMetrics
from atoll.runtime.contract import (
    Capabilities,
    NoRoomError,
    RuntimeFailure,
    RuntimeUnavailableError,
    Sandbox,
    SandboxNotFoundError,
    SandboxNotRunningError,
    SandboxSpec,
    SandboxState,
    SpecRefusedError,
    Usage,
)
from atoll.service.limits import ServiceLimits
from atoll.supervisor import wire
from atoll.supervisor.wire import Request, WireError

ID = SandboxId("sbx_" + "0" * 32)
SPEC = SandboxSpec(memory_bytes=1 << 30, disk_bytes=8 << 30, pids_max=256, cpus=1.5)
GOOD = {"id": 1, "op": "create", "memory_bytes": 1, "disk_bytes": 1, "pids_max": 1, "cpus": 1}


@pytest.mark.parametrize(
    "request_",
    [
        Request(id=0, op="create", spec=SPEC),
        Request(id=1, op="start", sandbox_id=ID),
        Request(id=2, op="dial", sandbox_id=ID),
        Request(id=3, op="observe"),
        Request(id=4, op="observe", after=ID),
        Request(id=5, op="usage", sandbox_id=ID),
        Request(id=6, op="stop", sandbox_id=ID),
        Request(id=7, op="destroy", sandbox_id=ID),
        Request(id=8, op="capabilities"),
        Request(id=8, op="hold", sandbox_id=ID),
        Request(id=9, op="metrics"),
        Request(id=10, op="start", sandbox_id=ID, request_id="req_" + "1" * 32, container_id="cntr_" + "2" * 48),
        Request(id=11, op="measurement", sandbox_id=ID),
    ],
)
def test_requests_there_and_back(request_: Request) -> None:
    assert wire.decode_request(wire.encode_request(request_)) == request_


def test_the_largest_policy_fits_into_a_packet_however_it_is_written() -> None:
    ignored = "\N{VARIATION SELECTOR-17}"  # stands for nothing in a name, and takes twelve characters in JSON
    below = ".".join(["a" * 63] * 3 + ["a" * 50])
    names = [f"b{number:03}.{below}.test" for number in range(1000)]
    sealed_chars = ServiceLimits().domain_secrets_chars_max // 100 * 4 // 3 + 40
    secret = DomainSecret(domain=names[0], name="N" * 64, sealed="x" * sealed_chars)
    network = NetworkPolicy("allowlist", tuple(f"*.{name}:65535" for name in names), (secret,) * 100)
    odd = replace(network, allowed_domains=tuple(f"*.{ignored * 25}{name}:65535" for name in names))
    assert len(json.dumps(policy_to_json(odd))) > wire.MESSAGE_BYTES_MAX
    packet = wire.encode_request(Request(id=1, op="set_network", sandbox_id=ID, network=odd))
    assert wire.decode_request(packet).network == network
    handed_over = handover.Request(id=1, op="open", sandbox_id=ID, run="1-2", policy=network, ports=(53,) * 32)
    assert len(handover.encode_request(handed_over)) < handover.MESSAGE_BYTES_MAX


def test_what_no_packet_can_hold() -> None:
    network = NetworkPolicy("allowlist", ("x" * wire.MESSAGE_BYTES_MAX,))
    with pytest.raises(WireError):
        wire.encode_request(Request(id=1, op="start", sandbox_id=ID, network=network))


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"id": 1},
        {"id": 1, "op": "shutdown"},
        {"id": 1, "op": ["create"]},
        {"id": -1, "op": "capabilities"},
        {"id": True, "op": "capabilities"},
        {"id": 1 << 54, "op": "capabilities"},
        {"id": "1", "op": "capabilities"},
        {"id": 1, "op": "capabilities", "extra": 1},
        {"id": 1, "op": "capabilities", "request_id": "req_1\n"},
        {"id": 1, "op": "capabilities", "container_id": ["cntr_" + "2" * 48]},
        {"id": 1, "op": "start"},
        {"id": 1, "op": "start", "sandbox_id": None},
        {"id": 1, "op": "start", "sandbox_id": "sbx_../../etc/passwd"},
        {"id": 1, "op": "start", "sandbox_id": ID + "0"},
        {"id": 1, "op": "start", "sandbox_id": ID + "\n"},
        {"id": 1, "op": "start", "sandbox_id": ID.upper()},
        {"id": 1, "op": "start", "sandbox_id": ID, "extra": 1},
        {"id": 1, "op": "observe"},
        {"id": 1, "op": "observe", "after": "sbx_"},
        {**GOOD, "memory_bytes": 0},
        {**GOOD, "memory_bytes": 1.5},
        {**GOOD, "memory_bytes": (1 << 50) + 1},
        {**GOOD, "disk_bytes": "1"},
        {**GOOD, "pids_max": True},
        {**GOOD, "pids_max": (1 << 22) + 1},
        {**GOOD, "cpus": 0},
        {**GOOD, "cpus": float("nan")},
        {**GOOD, "cpus": float("inf")},
        {**GOOD, "cpus": True},
        {**GOOD, "cpus": "1"},
        {**GOOD, "image": "another"},
    ],
)
def test_requests_that_are_none(value: Any) -> None:
    with pytest.raises(WireError):
        wire.decode_request(json.dumps(value).encode())


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_packet_breaks_the_reader(packet: bytes) -> None:
    for decode in (wire.decode_request, wire.decode_answer):
        with pytest.raises(WireError):
            decode(packet)


@given(st.dictionaries(st.sampled_from([*GOOD, "sandbox_id", "after", "result", "error"]), st.integers() | st.text()))
def test_no_object_breaks_the_reader(value: dict[str, Any]) -> None:
    packet = json.dumps(value).encode()
    for decode in (wire.decode_request, wire.decode_answer):
        try:
            decode(packet)
        except WireError:
            continue


def test_deep_nesting() -> None:
    with pytest.raises(WireError):
        wire.decode_request(b"[" * 100_000)


@pytest.mark.parametrize(
    "error",
    [
        SandboxNotFoundError("x"),
        SandboxNotRunningError("x"),
        NoRoomError("x", retry_after_s=7, reason="disk_used"),
        SpecRefusedError("x"),
        RuntimeUnavailableError("x"),
    ],
)
def test_errors_there_and_back(error: RuntimeFailure) -> None:
    answer = wire.decode_answer(wire.encode_error(3, error))
    assert (answer.id, type(answer.error), str(answer.error)) == (3, type(error), "x")
    if isinstance(error, NoRoomError):
        assert isinstance(answer.error, NoRoomError)
        assert (answer.error.retry_after_s, answer.error.reason) == (7, "disk_used")


def test_a_reason_of_another_version_is_none_in_particular() -> None:
    packet = json.loads(wire.encode_error(3, NoRoomError("x"))) | {"reason": "moon_phase"}
    error = wire.decode_answer(json.dumps(packet).encode()).error
    assert isinstance(error, NoRoomError)
    assert error.reason == "machine"


def test_metrics_there_and_back() -> None:
    metrics = RuntimeMetrics(
        pool_misses=7,
        memory_bytes=1 << 40,
        pids_refused=3,
        zygote_ready=True,
        starts={"cold": Durations((1,) * 15, 2.5), "ready": Durations()},
        forks=Durations((2,) * 15, 0.125),
        fills=Durations((3,) * 15, 7.0),
    )
    assert wire.metrics_from_wire(json.loads(json.dumps(wire.metrics_to_wire(metrics)))) == metrics


def test_results_there_and_back() -> None:
    sandbox = Sandbox(id=ID, state=SandboxState.STOPPED, created_at=1.25)
    usage = Usage(memory_bytes=1, memory_kills=2, memory_was_full=True, pids=3, pids_max=4, pids_refused=5)
    capabilities = Capabilities(
        name="oci", walls=True, limits=True, survives_restart=True, allowlists=True, memory_bytes_max=5
    )
    assert wire.sandbox_from_wire(_carried(wire.sandbox_to_wire(sandbox))) == sandbox
    assert wire.usage_from_wire(_carried(wire.usage_to_wire(usage))) == usage
    assert wire.capabilities_from_wire(_carried(wire.capabilities_to_wire(capabilities))) == capabilities


def _carried(result: dict[str, Any]) -> dict[str, Any]:
    answer = wire.decode_answer(wire.encode_result(9, result))
    assert (answer.id, answer.error) == (9, None)
    return answer.result
