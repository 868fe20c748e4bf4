"""Takes sockets and policies from the supervisor, and keeps a gate for each sandbox."""

import asyncio
import logging
import os
import socket
import struct
from array import array
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from atoll import about
from atoll.egress import handover
from atoll.egress.allowlist import Allowlist
from atoll.egress.gate import Gate, House, Passage
from atoll.egress.handover import Answer, HandoverError, Request
from atoll.egress.secret_opener import SecretOpener
from atoll.model.container_stats import Traffic
from atoll.model.domain_pattern import DomainPattern, parse_domain
from atoll.model.ids import SandboxId
from atoll.model.network_policy import NetworkPolicy

_log = logging.getLogger(__name__)

_CREDENTIALS: Final = struct.Struct("3i")
_ENDING_S_MAX: Final = 2.0
_SOCKETS_BYTES: Final = socket.CMSG_SPACE(handover.PORTS_MAX * array("i").itemsize)


class Doorkeeper:
    """Belongs to one event loop. Whoever connects last is listened to; gates stay when nobody does."""

    def __init__(self, house: House, outer: Sequence[DomainPattern] | None, opener: SecretOpener | None) -> None:
        """``opener`` opens secrets; without one, policies that have some go without."""
        self._house = house
        self._opener = opener
        self._outer = None if outer is None else Allowlist(outer)
        self._gates: dict[str, Gate] = {}
        self._loop = asyncio.get_running_loop()
        self._listener: socket.socket | None = None
        self._peer: socket.socket | None = None
        self._answering: set[asyncio.Task[None]] = set()

    @property
    def gates(self) -> Sequence[Gate]:
        """All gates."""
        return list(self._gates.values())

    def traffic(self, sandbox_id: str) -> Traffic | None:
        """Give what went through a sandbox's gate; ``None`` where there is none."""
        gate = self._gates.get(sandbox_id)
        return None if gate is None else gate.traffic

    def serve(self, listener: socket.socket) -> None:
        """Let the supervisor connect to a bound socket."""
        listener.setblocking(False)
        self._listener = listener
        self._loop.add_reader(listener.fileno(), self._welcome, listener)

    def close(self) -> None:
        """End everything."""
        if self._listener is not None:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
        self._hang_up()
        for gate in self.gates:
            gate.close()
        self._gates.clear()

    def _welcome(self, listener: socket.socket) -> None:
        try:
            peer, _ = listener.accept()
        except OSError:
            return
        _, uid, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        if uid not in (0, os.geteuid()):
            _log.warning("user %d is not the supervisor", uid)
            peer.close()
            return
        self._hang_up()
        # Short messages to a local process that reads: waiting to write is not worth a state of its own.
        peer.settimeout(5.0)
        try:
            for packet in handover.encode_held({name: gate.run for name, gate in self._gates.items()}):
                peer.send(packet)
        except OSError:
            peer.close()
            return
        self._peer = peer
        self._loop.add_reader(peer.fileno(), self._read, peer)

    def _hang_up(self) -> None:
        if self._peer is not None:
            self._loop.remove_reader(self._peer.fileno())
            self._peer.close()
            self._peer = None

    def _read(self, peer: socket.socket) -> None:
        try:
            packet, descriptors = _receive(peer)
            if not packet:
                self._hang_up()
                return
            sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
            answer, ending = self._act(packet, sockets)
            if ending:
                task = self._loop.create_task(self._answer_later(peer, answer, ending))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)
            else:
                peer.send(handover.encode_answer(answer))
        except (OSError, HandoverError) as error:
            _log.warning("the supervisor is hung up on: %s", error)
            self._hang_up()

    async def _answer_later(self, peer: socket.socket, answer: Answer, ending: set[asyncio.Task[None]]) -> None:
        """Answer once what is not allowed any more has ended."""
        await asyncio.wait(ending, timeout=_ENDING_S_MAX)
        with suppress(OSError):  # it was hung up on meanwhile
            peer.send(handover.encode_answer(answer))

    def _act(self, packet: bytes, sockets: list[socket.socket]) -> tuple[Answer, set[asyncio.Task[None]]]:
        """Give the answer, and what has to end before it is sent."""
        try:
            request = handover.decode_request(packet)
            if request.container_id:
                about.name_sandbox(request.sandbox_id, request.container_id)
            gate = self._gates.get(request.sandbox_id)
            ending: set[asyncio.Task[None]] = set()
            if request.op == "change" and gate is not None and request.policy is not None:
                ending = gate.change(self._passage(request.sandbox_id, request.policy))
            else:
                self._carry_out(request, gate, sockets)
            return Answer(request.id, gate is not None), ending
        except BaseException:
            for sock in sockets:
                sock.close()
            raise

    def _carry_out(self, request: Request, gate: Gate | None, sockets: list[socket.socket]) -> None:
        if request.op == "open" and request.policy is not None:
            if len(sockets) != len(request.ports):
                raise HandoverError("not as many sockets as ports")
            if gate is not None:
                gate.close()
            for sock in sockets:
                sock.setblocking(False)
            self._gates[request.sandbox_id] = Gate(
                SandboxId(request.sandbox_id),
                request.run,
                self._passage(request.sandbox_id, request.policy),
                sockets,
                self._house,
            )
        elif request.op == "close" and gate is not None:
            gate.close()
            del self._gates[request.sandbox_id]

    def _passage(self, sandbox_id: str, policy: NetworkPolicy) -> Passage:
        ending = None
        if policy.domain_secrets and self._opener is not None:
            ending = self._opener.open(sandbox_id, policy.domain_secrets)
        return Passage(self._allowlist(policy), ending)

    def _allowlist(self, policy: NetworkPolicy) -> Allowlist:
        """Raise ``HandoverError`` for entries that the server must not have let through."""
        if policy.type != "allowlist":
            return Allowlist(())
        try:
            return Allowlist((parse_domain(text) for text in policy.allowed_domains), self._outer)
        except ValueError as error:
            raise HandoverError(str(error)) from error


def _receive(peer: socket.socket) -> tuple[bytes, list[int]]:
    packet, control, flags, _ = peer.recvmsg(handover.MESSAGE_BYTES_MAX, _SOCKETS_BYTES, socket.MSG_CMSG_CLOEXEC)
    descriptors = array("i")
    for level, kind, data in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    if flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC):
        for descriptor in descriptors:
            os.close(descriptor)
        raise HandoverError("a packet was cut off")
    return packet, list(descriptors)
