"""What the supervisor and the egress process say to each other; pure.

Messages are JSON objects, one in each packet of a ``SOCK_SEQPACKET`` socket that the supervisor connects. The egress
process speaks first: ``{"held": {sandbox_id: run}, "has_more": bool}``, as often as there is more, names what it holds
from an earlier connection. Then it answers each request, in order, by ``{"id", "is_known": bool}``:

``open``    ``sandbox_id, run, policy, ports`` and the sockets in the order of the ports; replaces what it held of it
``change``  ``sandbox_id, policy``: what is not allowed any more has ended when the answer comes
``name``    ``sandbox_id``: for the log alone, its ``container_id`` has become known
``close``   ``sandbox_id``

Each may say ``container_id``: whose the sandbox is, for the log alone.

``run`` tells one life of a sandbox from the next. The first of ``ports`` is 53 and its socket is the one for UDP; all
others are for TCP.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast, get_args

from atoll.model.ids import is_id
from atoll.model.network_policy import NetworkPolicy, policy_from_json, policy_to_json

MESSAGE_BYTES_MAX: Final = 400 * 1024
PORTS_MAX: Final = 32
DNS_PORT: Final = 53

_HELD_PER_MESSAGE: Final = 500
_NUMBER_MAX: Final = 1 << 53
_RUN_CHARS_MAX: Final = 100

Operation = Literal["open", "change", "name", "close"]


class HandoverError(Exception):
    """The other side does not speak this protocol; the connection is of no further use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that was checked in form. ``open`` has ``run``, ``ports`` and a policy, ``change`` a policy."""

    id: int
    op: Operation
    sandbox_id: str
    run: str = ""
    policy: NetworkPolicy | None = None
    ports: tuple[int, ...] = ()
    container_id: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """``is_known`` says whether the process held the sandbox."""

    id: int
    is_known: bool


@dataclass(frozen=True, slots=True)
class Held:
    """A part of what the process holds: the run of each sandbox."""

    runs: Mapping[str, str]
    has_more: bool


def encode_request(request: Request) -> bytes:
    """Give a request's bytes."""
    value: dict[str, Any] = {"id": request.id, "op": request.op, "sandbox_id": request.sandbox_id}
    if request.policy is not None:
        value["policy"] = policy_to_json(request.policy)
    if request.op == "open":
        value |= {"run": request.run, "ports": list(request.ports)}
    if request.container_id:
        value["container_id"] = request.container_id
    return json.dumps(value).encode()


def decode_request(packet: bytes) -> Request:
    """Check a request strictly. Raises ``HandoverError``."""
    value = _object(packet)
    op = value.get("op")
    sandbox_id = value.get("sandbox_id")
    if op not in get_args(Operation) or not isinstance(sandbox_id, str) or not is_id("sbx_", sandbox_id):
        raise HandoverError("unknown operation, or no sandbox's id")
    request_id = _number(value.get("id"), _NUMBER_MAX)
    container_id = value.get("container_id", "")
    if container_id and not (isinstance(container_id, str) and is_id("cntr_", container_id)):
        raise HandoverError("no container's id")
    if op in {"close", "name"}:
        return Request(id=request_id, op=cast("Operation", op), sandbox_id=sandbox_id, container_id=container_id)
    try:
        policy = policy_from_json(value.get("policy"))
    except ValueError as error:
        raise HandoverError("not a policy") from error
    if op == "change":
        return Request(id=request_id, op="change", sandbox_id=sandbox_id, policy=policy, container_id=container_id)
    run, ports = value.get("run"), value.get("ports")
    if not isinstance(run, str) or len(run) > _RUN_CHARS_MAX or not isinstance(ports, list):
        raise HandoverError("a run or ports are missing")
    checked = tuple(_number(port, 65_535) for port in ports)
    if not 2 <= len(checked) <= PORTS_MAX or checked[0] != DNS_PORT:
        raise HandoverError("not the ports of a sandbox")
    return Request(
        id=request_id,
        op=cast("Operation", op),
        sandbox_id=sandbox_id,
        run=run,
        policy=policy,
        ports=checked,
        container_id=container_id,
    )


def encode_answer(answer: Answer) -> bytes:
    """Give an answer's bytes."""
    return json.dumps({"id": answer.id, "is_known": answer.is_known}).encode()


def encode_held(runs: Mapping[str, str]) -> list[bytes]:
    """Give the messages that tell what is held; at least one."""
    names = sorted(runs)
    parts = [names[at : at + _HELD_PER_MESSAGE] for at in range(0, len(names), _HELD_PER_MESSAGE)] or [[]]
    return [
        json.dumps({"held": {name: runs[name] for name in part}, "has_more": part is not parts[-1]}).encode()
        for part in parts
    ]


def decode_reply(packet: bytes) -> Answer | Held:
    """Read what the egress process says. Raises ``HandoverError``."""
    value = _object(packet)
    held = value.get("held")
    if isinstance(held, dict):
        runs = {str(name): str(run) for name, run in held.items()}
        return Held(runs, has_more=value.get("has_more") is True)
    return Answer(_number(value.get("id"), _NUMBER_MAX), is_known=value.get("is_known") is True)


def _object(packet: bytes) -> dict[str, Any]:
    try:
        value = json.loads(packet)
    except (ValueError, RecursionError) as error:
        raise HandoverError("a packet is not JSON") from error
    if not isinstance(value, dict):
        raise HandoverError("a packet is not a JSON object")
    return value


def _number(value: object, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise HandoverError("a number is missing or out of range")
    return value
