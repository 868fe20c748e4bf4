"""Asking the server whether it is ready, without ever blocking: sent once, answered when it has come up.

The launcher holds the listening socket, so a question asked before the server runs waits in its queue.
"""

import errno
import socket
from typing import Final

_ANSWER_BYTES_MAX: Final = 4096


class HealthProbe:
    """One question; readable when there is an answer."""

    def __init__(self, address: tuple[str, int]) -> None:
        host, port = address
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        self._socket.settimeout(1.0)
        try:
            self._socket.connect(address)
            self._socket.sendall(f"GET /health HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
            self._socket.setblocking(False)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._socket.fileno()

    def is_healthy(self) -> bool:
        """Read the answer, once readable: anything but a 200 is no."""
        try:
            answer = self._socket.recv(_ANSWER_BYTES_MAX)
        except OSError as error:
            if error.errno not in {errno.EAGAIN, errno.ECONNRESET}:
                raise
            return False
        return answer.split(b"\r\n", 1)[0].split(b" ")[1:2] == [b"200"]

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
