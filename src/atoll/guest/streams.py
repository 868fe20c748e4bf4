"""Puts text into frames that keep the protocol's limit."""

from atoll.guest.connection import Connection
from atoll.guest.protocol import TEXT_BYTES_MAX, FrameType, encode


def send_text(connection: Connection, frame_type: FrameType, data: bytes) -> None:
    """Send UTF-8 text as frames, each cut between two characters; nothing when there is none."""
    start = 0
    while start < len(data):
        end = min(start + TEXT_BYTES_MAX, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        connection.send(encode(frame_type, data[start:end]))
        start = end
