"""A supervisor that speaks the protocol and holds disks as a test wants it to."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from atoll.runtime.contract import RuntimeUnavailableError
from atoll.supervisor import wire


@contextmanager
def fake_supervisor(path: Path, *, is_still: bool | None, lasts: bool) -> Iterator[list[str]]:
    """Answer every ``hold``; one that does not last ends when the answer is there, ``is_still=None`` is a failure.

    Gives whose disks were asked for.
    """
    asked: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(path))
        listening.listen()
        thread = threading.Thread(target=_serve, args=(listening, asked), kwargs={"is_still": is_still, "lasts": lasts})
        thread.start()
        try:
            yield asked
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listening: socket.socket, asked: list[str], *, is_still: bool | None, lasts: bool) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection:
            request = wire.decode_request(connection.recv(wire.MESSAGE_BYTES_MAX))
            asked.append(request.sandbox_id)
            if is_still is None:
                connection.send(wire.encode_error(request.id, RuntimeUnavailableError("its disk is not free")))
            else:
                connection.send(wire.encode_result(request.id, {"is_still": is_still}))
            if lasts:
                connection.recv(1)
