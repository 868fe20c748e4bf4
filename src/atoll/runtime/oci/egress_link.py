"""The supervisor's connection to the egress process: made again whenever it is lost."""

import itertools
import logging
import socket
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Final

from atoll import about
from atoll.egress import handover
from atoll.egress.handover import Answer, HandoverError, Held, Operation, Request
from atoll.model.network_policy import NetworkPolicy
from atoll.runtime.oci.unix_address import short_address

_log = logging.getLogger(__name__)

_RETRY_PAUSE_S: Final = 0.05
_SEND_TIMEOUT: Final = struct.pack("ll", 5, 0)  # a struct timeval


class LinkLostError(Exception):
    """The egress process is away; it holds nothing, or what it held last."""


class EgressLink:
    """``on_connected`` is called with the runs that the process holds, from the link's own thread."""

    def __init__(self, path: Path, on_connected: Callable[[Mapping[str, str]], None]) -> None:
        self._path = path
        self._on_connected = on_connected
        self._numbers = itertools.count()
        self._lock = threading.Lock()  # guards the two below, and keeps packets in one order
        self._socket: socket.socket | None = None
        self._waiting: dict[int, Future[bool]] = {}
        self._must_stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="egress-link", daemon=True)

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def close(self) -> None:
        """Hang up; the process goes on with what it holds."""
        self._must_stop.set()
        with self._lock:
            if self._socket is not None:
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join()

    def ask(
        self,
        op: Operation,
        sandbox_id: str,
        *,
        run: str = "",
        policy: NetworkPolicy | None = None,
        sockets: Sequence[tuple[int, socket.socket]] = (),
    ) -> "Future[bool]":
        """Send a request; the future tells whether the process knew the sandbox. Raises ``LinkLostError``, at once or
        from the future.
        """
        request = Request(
            id=next(self._numbers),
            op=op,
            sandbox_id=sandbox_id,
            run=run,
            policy=policy,
            ports=tuple(port for port, _ in sockets),
            container_id=about.container_of(sandbox_id),
        )
        packet = handover.encode_request(request)
        future: Future[bool] = Future()
        with self._lock:
            if self._socket is None:
                raise LinkLostError("the egress process is away")
            self._waiting[request.id] = future
            try:
                socket.send_fds(self._socket, [packet], [sock.fileno() for _, sock in sockets], socket.MSG_NOSIGNAL)
            except OSError as error:
                del self._waiting[request.id]
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)  # its thread sees the end
                raise LinkLostError(str(error)) from error
        return future

    def _keep(self) -> None:
        while not self._must_stop.is_set():
            try:
                with self._connect() as sock:
                    held = _read_held(sock)
                    with self._lock:
                        self._socket = sock
                    self._on_connected(held)
                    self._read_answers(sock)
            except (OSError, HandoverError, LinkLostError) as error:
                _log.debug("no egress process: %s", error)
            except Exception:  # noqa: BLE001 - whatever it is, the link is made again
                _log.exception("the egress process is hung up on")
            finally:
                self._lose()
            self._must_stop.wait(_RETRY_PAUSE_S)

    def _connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, handover.MESSAGE_BYTES_MAX)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _SEND_TIMEOUT)
            with short_address(self._path) as address:
                sock.connect(address)
        except BaseException:
            sock.close()
            raise
        return sock

    def _read_answers(self, sock: socket.socket) -> None:
        while packet := sock.recv(handover.MESSAGE_BYTES_MAX):
            answer = handover.decode_reply(packet)
            if isinstance(answer, Answer):
                with self._lock:
                    future = self._waiting.pop(answer.id, None)
                if future is not None:
                    future.set_result(answer.is_known)

    def _lose(self) -> None:
        with self._lock:
            self._socket = None
            lost, self._waiting = self._waiting, {}
        for future in lost.values():
            future.set_exception(LinkLostError("the egress process went away"))


def _read_held(sock: socket.socket) -> dict[str, str]:
    runs: dict[str, str] = {}
    has_more = True
    while has_more:
        reply = handover.decode_reply(sock.recv(handover.MESSAGE_BYTES_MAX))
        if not isinstance(reply, Held):
            raise HandoverError("it did not say what it holds")
        runs.update(reply.runs)
        has_more = reply.has_more
    return runs
