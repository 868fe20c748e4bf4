"""Which running sandboxes have a way out, and that the egress process serves each by its policy.

What is here is the truth about the namespaces; the egress process is told of it again whenever it was away. A policy
lasts as long as a run of its sandbox does: a file in the run folder tells it to the next supervisor, and whoever starts
a sandbox says by what policy.
"""

import json
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atoll.model.network_policy import NETWORK_DISABLED, NetworkPolicy, policy_from_json, policy_to_json
from atoll.runtime.oci import network_namespace
from atoll.runtime.oci.egress_link import EgressLink, LinkLostError
from atoll.runtime.oci.init_process import InitProcess

_log = logging.getLogger(__name__)

_CHANGE_TIMEOUT_S: Final = 5.0


class NoEgressError(Exception):
    """There is no egress process on this machine, so nothing can be let out."""


class NotChangedError(Exception):
    """The egress process did not say that it goes by the new policy."""


@dataclass(slots=True)
class _Network:
    """``run`` tells one life of a sandbox from the next; ``pidfd`` is a handle of our own on its first process."""

    run: str
    pidfd: int
    policy: NetworkPolicy


class Networks:
    """All methods may block and may be called side by side, for one sandbox one at a time."""

    def __init__(self, folder: Path, egress_socket: Path | None, ports: Sequence[int]) -> None:
        """``ports`` are those that are opened beside DNS; without an ``egress_socket`` nothing is ever let out."""
        self._folder = folder
        self._ports = tuple(ports)
        self._table: dict[str, _Network] = {}
        self._lock = threading.Lock()  # guards the table, and that the process is told in its order
        self._link = None if egress_socket is None else EgressLink(egress_socket, self._tell_all)
        folder.mkdir(mode=0o700, exist_ok=True)

    @property
    def can_let_out(self) -> bool:
        """Whether an allowlist can be held to."""
        return self._link is not None

    def start(self) -> None:
        """Connect to the egress process, once all that runs is adopted."""
        for path in self._folder.iterdir():
            if path.stem not in self._table:
                path.unlink(missing_ok=True)
        if self._link is not None:
            self._link.start()

    def close(self) -> None:
        """Let go; the egress process serves on by what it was told."""
        if self._link is not None:
            self._link.close()

    def set(self, sandbox_id: str, process: InitProcess, policy: NetworkPolicy) -> None:
        """Let a sandbox out by a policy from now on; connections that it does not allow have ended then.

        Raises ``NoEgressError``, ``NotChangedError``, ``OSError``.
        """
        if policy.type == "disabled":
            self._shut(sandbox_id)
            return
        if self._link is None:
            raise NoEgressError("this machine has no egress process, so network policies cannot be enforced")
        run = _run_of(process)
        self._keep(sandbox_id, run, policy)
        with self._lock:
            known = self._table.get(sandbox_id)
            if known is None or known.run != run:
                self._drop(sandbox_id)
                network = _Network(run, os.dup(process.pidfd), policy)
                self._table[sandbox_id] = network
                self._open(self._link, sandbox_id, network)
                return
            known.policy = policy
            answer = self._change(self._link, sandbox_id, policy)
        if answer is not None and not _answered(answer):
            with self._lock:
                self._open(self._link, sandbox_id, known)

    def named(self, sandbox_id: str) -> None:
        """Tell the egress process whose a sandbox is, which ``about`` knows now; for its log."""
        with self._lock, suppress(LinkLostError):
            if self._link is not None and sandbox_id in self._table:
                self._link.ask("name", sandbox_id)

    def adopt(self, sandbox_id: str, process: InitProcess) -> None:
        """Take up a sandbox that an earlier supervisor may have let out."""
        policy = self._kept(sandbox_id, _run_of(process))
        if policy.type == "allowlist" and self._link is not None:
            self._table[sandbox_id] = _Network(_run_of(process), os.dup(process.pidfd), policy)

    def forget(self, sandbox_id: str) -> None:
        """Close the way out of a sandbox that has ended."""
        with self._lock:
            self._drop(sandbox_id)
        (self._folder / f"{sandbox_id}.json").unlink(missing_ok=True)

    def _shut(self, sandbox_id: str) -> None:
        with self._lock:
            network = self._table.get(sandbox_id)
            if network is None or self._link is None:
                return
            network.policy = NETWORK_DISABLED
            answer = self._change(self._link, sandbox_id, NETWORK_DISABLED)
        if answer is not None:
            _answered(answer)
        with suppress(OSError):  # nothing is left there that would answer
            network_namespace.take_routes_back(network.pidfd)
        self.forget(sandbox_id)

    def _drop(self, sandbox_id: str) -> None:
        network = self._table.pop(sandbox_id, None)
        if network is None:
            return
        os.close(network.pidfd)
        if self._link is not None:
            with suppress(LinkLostError):
                self._link.ask("close", sandbox_id)

    def _open(self, link: EgressLink, sandbox_id: str, network: _Network) -> None:
        sockets = network_namespace.open_sockets(network.pidfd, self._ports)
        try:
            link.ask("open", sandbox_id, run=network.run, policy=network.policy, sockets=sockets)
        except LinkLostError:
            _log.info("%s is let out once the egress process is back", sandbox_id)
        finally:
            for _, sock in sockets:
                sock.close()

    def _change(self, link: EgressLink, sandbox_id: str, policy: NetworkPolicy) -> "Future[bool] | None":
        try:
            return link.ask("change", sandbox_id, policy=policy)
        except LinkLostError:
            return None  # no connection is there, and the policy is the first thing it is told

    def _tell_all(self, held: Mapping[str, str]) -> None:
        """Bring an egress process that was away to what is true."""
        with self._lock:
            link = self._link
            if link is None:
                return
            for sandbox_id in held.keys() - self._table.keys():
                link.ask("close", sandbox_id)
            for sandbox_id, network in self._table.items():
                if held.get(sandbox_id) == network.run:
                    link.ask("change", sandbox_id, policy=network.policy)
                    continue
                try:
                    self._open(link, sandbox_id, network)
                except OSError:
                    _log.exception("%s cannot be let out", sandbox_id)

    def _keep(self, sandbox_id: str, run: str, policy: NetworkPolicy) -> None:
        path = self._folder / f"{sandbox_id}.json"
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps({"run": run, "policy": policy_to_json(policy)}))
        unfinished.rename(path)

    def _kept(self, sandbox_id: str, run: str) -> NetworkPolicy:
        try:
            value = json.loads((self._folder / f"{sandbox_id}.json").read_text())
            return policy_from_json(value["policy"]) if value["run"] == run else NETWORK_DISABLED
        except (OSError, ValueError, TypeError, KeyError):
            return NETWORK_DISABLED


def _run_of(process: InitProcess) -> str:
    return f"{process.pid}-{process.start_ticks}"


def _answered(answer: "Future[bool]") -> bool:
    """Wait for an answer; ``True`` also when there is nobody left to go by any policy. Raises ``NotChangedError``."""
    try:
        return answer.result(_CHANGE_TIMEOUT_S)
    except LinkLostError:
        return True
    except TimeoutError as error:
        raise NotChangedError("the egress process does not answer") from error
