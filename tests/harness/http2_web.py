"""HTTP/2 for the web servers that tests start; h2 does the reading."""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset

_PIECE_BYTES = 1 << 16
_PATTERN = bytes(range(256)) * 256


@dataclass
class Asked:
    """A request; names of headers are written as HTTP/1.1's servers see them, its authority as ``Host``."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)


def serve_http2(sock: socket.socket, answer: Callable[[Asked], bytes | int]) -> None:
    """Serve a connection to its end. ``answer`` gives a body, or its size where what is in it does not matter."""
    connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    connection.increment_flow_control_window(1 << 20)
    sock.sendall(connection.data_to_send())
    asked: dict[int, Asked] = {}
    answers: dict[int, _Answer] = {}
    while data := sock.recv(_PIECE_BYTES):
        for event in connection.receive_data(data):
            match event:
                case RequestReceived():
                    asked[event.stream_id] = _asked([(str(key), str(value)) for key, value in event.headers])
                case DataReceived():
                    asked[event.stream_id].body += event.data
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case StreamEnded():
                    question = asked.pop(event.stream_id)
                    answers[event.stream_id] = _Answer(answer(question), has_body=question.method != "HEAD")
                case StreamReset():
                    asked.pop(event.stream_id, None)
                    answers.pop(event.stream_id, None)
        for stream_id in list(answers):
            if answers[stream_id].go_on(connection, stream_id, sock):
                del answers[stream_id]
        sock.sendall(connection.data_to_send())


class _Answer:
    def __init__(self, content: bytes | int, *, has_body: bool) -> None:
        self._content = content if isinstance(content, bytes) else None
        self._size = content if isinstance(content, int) else len(content)
        self._left = self._size if has_body else 0
        self._has_head = False

    def go_on(self, connection: H2Connection, stream_id: int, sock: socket.socket) -> bool:
        """Send what the other side takes now; tells whether that was all."""
        if not self._has_head:
            connection.send_headers(stream_id, [(":status", "200"), ("content-length", str(self._size))])
            self._has_head = True
        while self._left:
            room = min(connection.local_flow_control_window(stream_id), connection.max_outbound_frame_size, self._left)
            if room <= 0:
                return False
            at = self._size - self._left
            connection.send_data(stream_id, _PATTERN[:room] if self._content is None else self._content[at : at + room])
            self._left -= room
            sock.sendall(connection.data_to_send())
        connection.end_stream(stream_id)
        return True


def _asked(head: list[tuple[str, str]]) -> Asked:
    pseudo = {key: value for key, value in head if key.startswith(":")}
    headers = {key.title(): value for key, value in head if not key.startswith(":")}
    return Asked(pseudo[":method"], pseudo[":path"], {"Host": pseudo.get(":authority", ""), **headers})
