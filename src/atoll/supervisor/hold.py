"""Holding a sandbox's disk still from outside of the server, on a connection of its own to the supervisor."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from atoll.model.ids import SandboxId
from atoll.runtime.contract import RuntimeUnavailableError
from atoll.runtime.oci.unix_address import short_address
from atoll.supervisor import wire
from atoll.supervisor.wire import HOLD_S_MAX, Request, WireError

_ANSWER_S: Final = 120.0  # a start or an end that runs is waited for
_AWAY_S_MAX: Final = 15.0
_RETRY_PAUSE_S: Final = 0.1


class Held:
    """A disk that stands still; ``is_still`` is false where its file system could not be frozen."""

    def __init__(self, sock: socket.socket, *, is_still: bool) -> None:
        self.is_still = is_still
        self._socket = sock
        self._since = time.monotonic()

    def has_lasted(self) -> bool:
        """Tell whether it was held from the beginning until now."""
        if time.monotonic() - self._since >= HOLD_S_MAX:
            return False
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except OSError:
            return False


@contextmanager
def holding(supervisor_socket: Path, sandbox_id: SandboxId) -> Iterator[Held]:
    """Keep a sandbox from being started, ended or written to while the body runs, a minute at most.

    Raises ``SandboxNotFoundError``, ``RuntimeUnavailableError``.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(_ANSWER_S)
        try:
            _connect(sock, supervisor_socket)
            sock.send(wire.encode_request(Request(id=0, op="hold", sandbox_id=sandbox_id)))
            answer = wire.decode_answer(sock.recv(wire.MESSAGE_BYTES_MAX))
        except (OSError, WireError) as error:
            raise RuntimeUnavailableError("the supervisor is away") from error
        if answer.error is not None:
            raise answer.error
        sock.setblocking(False)
        yield Held(sock, is_still=answer.result.get("is_still") is True)


def _connect(sock: socket.socket, path: Path) -> None:
    """Connect, and wait a little for a supervisor that was just ended. Raises ``OSError``."""
    give_up_at = time.monotonic() + _AWAY_S_MAX
    while True:
        try:
            with short_address(path) as address:
                sock.connect(address)
        except OSError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(_RETRY_PAUSE_S)
        else:
            return
