"""A supervisor that speaks the protocol and holds disks as a test wants it to."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from atoll.runtime.contract import RuntimeUnavailableError
from atoll.supervisor import wire


@dataclass(slots=True)
class FakeSupervisor:
    """Answers every ``hold``: ``is_still=None`` fails; one that does not last ends when the answer is there."""

    is_still: bool | None
    lasts: bool
    asked: list[str] = field(default_factory=list)
    """Whose disks were asked for."""
    holds: bool = False
    """Whether it holds one now."""

    @contextmanager
    def at(self, path: Path) -> Iterator[None]:
        """Be there while the body runs."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
            listening.bind(str(path))
            listening.listen()
            thread = threading.Thread(target=self._serve, args=(listening,))
            thread.start()
            try:
                yield
            finally:
                listening.shutdown(socket.SHUT_RDWR)
                thread.join()

    def _serve(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                self.holds = True
                request = wire.decode_request(connection.recv(wire.MESSAGE_BYTES_MAX))
                self.asked.append(request.sandbox_id)
                if self.is_still is None:
                    connection.send(wire.encode_error(request.id, RuntimeUnavailableError("its disk is not free")))
                else:
                    connection.send(wire.encode_result(request.id, {"is_still": self.is_still}))
                if self.lasts:
                    connection.recv(1)
            self.holds = False
