"""What server and supervisor say to each other; pure.

Messages are JSON objects, one in each packet of a ``SOCK_SEQPACKET`` socket. A request is ``{"id", "op", ...}``, its
answer ``{"id", "result": {...}}`` or ``{"id", "error": NAME, "message", ...}``; answers come in any order. The one to
``dial`` carries one descriptor.

``create``        ``memory_bytes, disk_bytes, pids_max, cpus, network`` -> SANDBOX
``start``         ``sandbox_id, network`` -> SANDBOX
``set_network``   ``sandbox_id, network`` -> ``{}``
``dial``          ``sandbox_id`` -> ``{}`` and the connected socket
``observe``       ``after`` (an id, or empty) -> ``{"sandboxes": [SANDBOX...], "has_more": bool}``, ordered by id
``usage``         ``sandbox_id`` -> the fields of ``Usage`` by their names
``measurement``   ``sandbox_id`` -> the fields of ``Measurement`` by their names
``stop``          ``sandbox_id`` -> ``{}``
``destroy``       ``sandbox_id`` -> ``{}``
``hold``          ``sandbox_id`` -> ``{"is_still": bool}``; until the connection ends, or ``HOLD_S_MAX``
``metrics``       -> the fields of ``RuntimeMetrics`` by their names
``capabilities``  -> ``{"name", "walls", "limits", "survives_restart", "allowlists", "memory_bytes_max"}``

Each request may also say ``request_id`` and ``container_id``: on whose account it comes, for the log alone.

SANDBOX is ``{"id", "state", "created_at"}``; ``network`` is a policy as in
``model.network_policy``, disabled when left out. Its entries are sent in ASCII: written otherwise, a thousand of them
can be longer than a packet.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Literal, cast, get_args

from atoll.model.domain_pattern import parse_domain
from atoll.model.errors import RefusalReason
from atoll.model.ids import SandboxId, is_id
from atoll.model.network_policy import NETWORK_DISABLED, NetworkPolicy, policy_from_json, policy_to_json
from atoll.model.runtime_metrics import Durations, RuntimeMetrics, StartedHow
from atoll.runtime.contract import (
    Capabilities,
    Measurement,
    NetworkRefusedError,
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

MESSAGE_BYTES_MAX: Final = 400 * 1024
Operation = Literal[
    "create",
    "start",
    "set_network",
    "dial",
    "observe",
    "usage",
    "measurement",
    "stop",
    "destroy",
    "hold",
    "metrics",
    "capabilities",
]
HOLD_S_MAX: Final = 60.0
_WITH_NETWORK: Final[frozenset[Operation]] = frozenset({"create", "start", "set_network"})
_BARE: Final[frozenset[Operation]] = frozenset({"metrics", "capabilities"})
_ID_MAX: Final = 1 << 53
_SIZE_MAX: Final = 1 << 50
_PIDS_MAX: Final = 1 << 22
_CPUS_MAX: Final = 8192

_REQUEST_ID: Final = re.compile("req_[0-9a-f]{32}")
_CONTAINER_ID: Final = re.compile("cntr_[0-9a-f]{48}")

_METRICS_NUMBERS: Final = tuple(field.name for field in fields(RuntimeMetrics) if field.type is int)

_ERRORS: Final[dict[str, type[RuntimeFailure]]] = {
    "not_found": SandboxNotFoundError,
    "not_running": SandboxNotRunningError,
    "no_room": NoRoomError,
    "spec_refused": SpecRefusedError,
    "network_refused": NetworkRefusedError,
    "unavailable": RuntimeUnavailableError,
}


class WireError(Exception):
    """The other side does not speak this protocol; the connection is of no further use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that was checked in form. ``spec`` is there for ``create`` only; not every one has a ``network``."""

    id: int
    op: Operation
    sandbox_id: str = ""
    after: str = ""
    spec: SandboxSpec | None = None
    network: NetworkPolicy = NETWORK_DISABLED
    request_id: str = ""
    container_id: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: either a result or an error."""

    id: int
    result: dict[str, Any]
    error: RuntimeFailure | None


def encode_request(request: Request) -> bytes:
    """Give a request's bytes. Raises ``WireError`` for one that no packet can hold: sent, it would end the connection
    for all who use it.
    """
    value: dict[str, Any] = {"id": request.id, "op": request.op}
    if request.op == "observe":
        value["after"] = request.after
    elif request.op == "create" and request.spec is not None:
        value.update(asdict(request.spec))
    elif request.op not in _BARE:
        value["sandbox_id"] = request.sandbox_id
    if request.op in _WITH_NETWORK:
        value["network"] = policy_to_json(_in_ascii(request.network))
    if request.request_id:
        value["request_id"] = request.request_id
    if request.container_id:
        value["container_id"] = request.container_id
    packet = json.dumps(value).encode()
    if len(packet) > MESSAGE_BYTES_MAX:
        raise WireError("a request is longer than a packet")
    return packet


def _in_ascii(policy: NetworkPolicy) -> NetworkPolicy:
    if all(map(str.isascii, policy.allowed_domains)):
        return policy
    return replace(policy, allowed_domains=tuple(parse_domain(text).text for text in policy.allowed_domains))


def decode_request(packet: bytes) -> Request:
    """Check a request strictly: known words only, ids by their form, numbers by their range. Raises ``WireError``."""
    value = _object(packet)
    op = value.pop("op", None)
    if op not in get_args(Operation):
        raise WireError("unknown operation")
    request_id = _integer(value, "id", 0, _ID_MAX)
    names = _label(value, "request_id", _REQUEST_ID.fullmatch), _label(value, "container_id", _CONTAINER_ID.fullmatch)
    request = _decode_fields(request_id, cast("Operation", op), value)
    if value:
        raise WireError("unknown fields")
    return replace(request, request_id=names[0], container_id=names[1]) if any(names) else request


def _label(value: dict[str, Any], name: str, has_form: Callable[[str], object]) -> str:
    """Give an id that lines of the log bear, empty when there is none."""
    label = value.pop(name, "")
    if label and not (isinstance(label, str) and has_form(label)):
        raise WireError(f"{name!r} is none")
    return cast("str", label) or ""


def _decode_fields(request_id: int, op: Operation, value: dict[str, Any]) -> Request:
    network = _network(value) if op in _WITH_NETWORK else NETWORK_DISABLED
    if op == "create":
        return Request(id=request_id, op=op, spec=_spec(value), network=network)
    if op == "observe":
        after = value.pop("after", None)
        if not isinstance(after, str) or (after and not is_id("sbx_", after)):
            raise WireError("'after' is no sandbox's id")
        return Request(id=request_id, op=op, after=after)
    if op in _BARE:
        return Request(id=request_id, op=op)
    sandbox_id = value.pop("sandbox_id", None)
    if not isinstance(sandbox_id, str) or not is_id("sbx_", sandbox_id):
        raise WireError("'sandbox_id' is none")
    return Request(id=request_id, op=op, sandbox_id=sandbox_id, network=network)


def _network(value: dict[str, Any]) -> NetworkPolicy:
    try:
        return policy_from_json(value.pop("network", {"type": "disabled", "allowed_domains": []}))
    except ValueError as error:
        raise WireError("'network' is no policy") from error


def _spec(value: dict[str, Any]) -> SandboxSpec:
    cpus = value.pop("cpus", None)
    if isinstance(cpus, bool) or not isinstance(cpus, int | float) or not 0 < cpus <= _CPUS_MAX:
        raise WireError("'cpus' is out of range")
    return SandboxSpec(
        memory_bytes=_integer(value, "memory_bytes", 1, _SIZE_MAX),
        disk_bytes=_integer(value, "disk_bytes", 1, _SIZE_MAX),
        pids_max=_integer(value, "pids_max", 1, _PIDS_MAX),
        cpus=float(cpus),
    )


def encode_result(request_id: int, result: Mapping[str, Any]) -> bytes:
    """Give the bytes of a good answer."""
    return json.dumps({"id": request_id, "result": dict(result)}).encode()


def encode_error(request_id: int, error: RuntimeFailure) -> bytes:
    """Give the bytes of a bad one."""
    name = next((name for name, kind in _ERRORS.items() if isinstance(error, kind)), "unavailable")
    value: dict[str, Any] = {"id": request_id, "error": name, "message": str(error)[:4096]}
    if isinstance(error, NoRoomError):
        value |= {"retry_after_s": error.retry_after_s, "reason": error.reason}
    return json.dumps(value).encode()


def decode_answer(packet: bytes) -> Answer:
    """Read an answer. Raises ``WireError``."""
    value = _object(packet)
    request_id = _integer(value, "id", 0, _ID_MAX)
    if "error" not in value:
        result = value.get("result")
        if not isinstance(result, dict):
            raise WireError("neither result nor error")
        return Answer(request_id, result, None)
    kind = _ERRORS.get(str(value["error"]), RuntimeUnavailableError)
    message = str(value.get("message", ""))
    if kind is NoRoomError:
        retry_after_s = _integer(value, "retry_after_s", 0, 86_400)
        return Answer(request_id, {}, NoRoomError(message, retry_after_s=retry_after_s, reason=_reason(value)))
    return Answer(request_id, {}, kind(message))


def _reason(value: Mapping[str, Any]) -> RefusalReason:
    reason = value.get("reason")
    return cast("RefusalReason", reason) if reason in get_args(RefusalReason) else "machine"


def sandbox_to_wire(sandbox: Sandbox) -> dict[str, Any]:
    """Give a SANDBOX."""
    return {"id": sandbox.id, "state": sandbox.state.value, "created_at": sandbox.created_at}


def sandbox_from_wire(value: Mapping[str, Any]) -> Sandbox:
    """Read a SANDBOX."""
    state = SandboxState(value["state"])
    return Sandbox(id=SandboxId(str(value["id"])), state=state, created_at=float(value["created_at"]))


def usage_to_wire(usage: Usage) -> dict[str, Any]:
    """Give the result of ``usage``."""
    return asdict(usage)


def usage_from_wire(value: Mapping[str, Any]) -> Usage:
    """Read the result of ``usage``."""
    return Usage(
        memory_bytes=int(value["memory_bytes"]),
        memory_kills=int(value["memory_kills"]),
        memory_was_full=bool(value["memory_was_full"]),
        pids=int(value["pids"]),
        pids_max=_optional_integer(value["pids_max"]),
        pids_refused=int(value["pids_refused"]),
    )


def measurement_to_wire(measurement: Measurement) -> dict[str, Any]:
    """Give the result of ``measurement``."""
    return asdict(measurement)


def measurement_from_wire(value: Mapping[str, Any]) -> Measurement:
    """Read the result of ``measurement``."""
    cpus = value["cpus"]
    return Measurement(
        memory_bytes=int(value["memory_bytes"]),
        memory_bytes_max=_optional_integer(value["memory_bytes_max"]),
        cpu_s=float(value["cpu_s"]),
        cpus=None if cpus is None else float(cpus),
        pids=int(value["pids"]),
        pids_max=_optional_integer(value["pids_max"]),
        disk_bytes=_optional_integer(value["disk_bytes"]),
        disk_bytes_max=_optional_integer(value["disk_bytes_max"]),
    )


def _optional_integer(value: Any) -> int | None:
    return None if value is None else int(value)


def metrics_to_wire(metrics: RuntimeMetrics) -> dict[str, Any]:
    """Give the result of ``metrics``."""
    return asdict(metrics)


def metrics_from_wire(value: Mapping[str, Any]) -> RuntimeMetrics:
    """Read the result of ``metrics``."""
    starts = {how: _durations(value["starts"][how]) for how in get_args(StartedHow) if how in value["starts"]}
    numbers = {name: int(value[name]) for name in _METRICS_NUMBERS}
    return RuntimeMetrics(
        **numbers,
        zygote_ready=bool(value["zygote_ready"]),
        starts=starts,
        forks=_durations(value["forks"]),
        fills=_durations(value["fills"]),
    )


def _durations(value: Mapping[str, Any]) -> Durations:
    return Durations(tuple(int(count) for count in value["counts"]), float(value["sum_s"]))


def capabilities_to_wire(capabilities: Capabilities) -> dict[str, Any]:
    """Give the result of ``capabilities``."""
    return asdict(capabilities)


def capabilities_from_wire(value: Mapping[str, Any]) -> Capabilities:
    """Read the result of ``capabilities``."""
    return Capabilities(
        name=str(value["name"]),
        walls=bool(value["walls"]),
        limits=bool(value["limits"]),
        survives_restart=bool(value["survives_restart"]),
        allowlists=bool(value["allowlists"]),
        memory_bytes_max=int(value["memory_bytes_max"]),
    )


def _object(packet: bytes) -> dict[str, Any]:
    try:
        value = json.loads(packet)
    except (ValueError, RecursionError) as error:
        raise WireError("a packet is not JSON") from error
    if not isinstance(value, dict):
        raise WireError("a packet is not a JSON object")
    return value


def _integer(value: dict[str, Any], name: str, low: int, high: int) -> int:
    number = value.pop(name, None)
    if type(number) is not int or not low <= number <= high:
        raise WireError(f"{name!r} is not an integer from {low} to {high}")
    return number
