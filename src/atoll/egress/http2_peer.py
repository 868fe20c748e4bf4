"""One side of an HTTP/2 connection: what came in, as events; what is to go out, as bytes. h2 does the reading.

What waits here is bounded: h2 holds one head, ``out`` is written on before more is put into it, and the other side may
send no more data than the windows that it is given.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event
from h2.exceptions import H2Error, ProtocolError
from h2.settings import SettingCodes, Settings
from hpack import Encoder
from hpack.exceptions import HPACKError
from hpack.struct import Header
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import GoAwayFrame

from atoll.egress.frame_allowance import FrameAllowance, TooManyFramesError
from atoll.egress.http2_frames import FRAME_BYTES_MAX, HEAD_BYTES_MAX, FrameCutter, FrameError, Frames, GoAway
from atoll.egress.wires import Wire

STREAMS_MAX: Final = 100
_OUT_BYTES_MAX: Final = 128 * 1024
_WINDOW_BYTES_AT_FIRST: Final = 65_535
_TABLE_BYTES_MAX: Final = 4096
_HEAD_BYTES_PER_FRAME: Final = 256

logging.getLogger("hpack").setLevel(logging.INFO)  # below, it writes down values of headers


class Http2Error(Exception):
    """The other side does not speak HTTP/2, or more of it than is good."""


class _Encoder(Encoder):
    """Does without Huffman's code, which takes ten times as long as all the rest of a long head."""

    def encode(self, headers: Any, huffman: bool = False) -> bytes:
        return super().encode(headers, huffman=huffman)


class _Connection(H2Connection):
    MAX_CLOSED_STREAMS = 1024
    DEFAULT_MAX_HEADER_LIST_SIZE = HEAD_BYTES_MAX


class Http2Peer:
    """Belongs to one event loop. ``count`` is called with the size of what is written, and may raise."""

    def __init__(self, wire: Wire, *, is_client: bool, buffer_bytes: int, count: Callable[[int], None]) -> None:
        """``is_client`` says which of the two we are. ``buffer_bytes`` is what the other side may have on its way to
        us in one stream, and half of what in all.
        """
        self.wire = wire
        self.connection = _Connection(H2Configuration(client_side=is_client, validate_outbound_headers=False))
        self.connection.encoder = _Encoder()
        self.connection.local_settings = Settings(
            client=is_client,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: buffer_bytes,
                SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS_MAX,
                SettingCodes.MAX_FRAME_SIZE: FRAME_BYTES_MAX,
                SettingCodes.MAX_HEADER_LIST_SIZE: HEAD_BYTES_MAX,
            },
        )
        self._cutter = FrameCutter(has_preface=not is_client)
        self.allowance = FrameAllowance(asyncio.get_running_loop().time)
        self._count = count
        self._window_bytes = 2 * buffer_bytes
        self._out = bytearray()
        self._has_out = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._is_gone = False

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be sent until some of it was written."""
        return len(self._out) >= _OUT_BYTES_MAX

    @property
    def is_written(self) -> bool:
        """Whether all that was to be sent has been."""
        return not self._out

    def open(self) -> None:
        """Say what both sides begin with."""
        self.connection.initiate_connection()
        self.connection.increment_flow_control_window(self._window_bytes - _WINDOW_BYTES_AT_FIRST)
        self.collect()

    def cut(self, data: bytes) -> Iterator[Frames | GoAway]:
        """Give what came, in pieces for ``receive``. Raises ``Http2Error``."""
        try:
            yield from self._cutter.cut(data)
        except FrameError as error:
            raise Http2Error(str(error)) from None

    def receive(self, frames: Frames) -> list[Event]:
        """Read frames. Raises ``Http2Error``, and what it says of it then is to be sent."""
        try:
            self.allowance.take(frames.idle_count)
            return self.connection.receive_data(frames.data)
        except (H2Error, HPACKError, HyperframeError):
            raise Http2Error("not HTTP/2") from None  # what is wrong may quote a header
        except TooManyFramesError:
            raise Http2Error("too many frames") from None

    def charge_head(self, head: list[Header]) -> None:
        """Take a head's size off what the other side may send. Raises ``Http2Error``."""
        self.charge(sum(len(key) + len(value) for key, value in head) // _HEAD_BYTES_PER_FRAME)

    def charge(self, count: int) -> None:
        """Take something off what the other side may send. Raises ``Http2Error``."""
        try:
            self.allowance.take(count)
        except TooManyFramesError:
            raise Http2Error("too many frames") from None

    def reset(self, stream_id: int, error_code: int) -> None:
        """End a stream, unless it has ended."""
        with suppress(ProtocolError):
            self.connection.reset_stream(stream_id, error_code)

    def keep_table_small(self) -> None:
        """Remember no more of what was sent than everybody does, however much the other side offers to."""
        encoder = self.connection.encoder
        encoder.header_table_size = min(encoder.header_table_size, _TABLE_BYTES_MAX)

    def go_away(self, error_code: int) -> None:
        """Say that no new streams are taken; h2 would do so only at the end of everything."""
        self.collect()
        frame = GoAwayFrame(0, last_stream_id=self.connection.highest_inbound_stream_id, error_code=error_code)
        self._out += frame.serialize()
        self._has_out.set()

    def collect(self) -> None:
        """Have written what h2 wants to send."""
        data = self.connection.data_to_send()
        if not data or self._is_gone:
            return
        self._out += data
        self._has_out.set()
        if self.is_full:
            self._has_room.clear()

    def lose(self) -> None:
        """Write nothing any more."""
        self._is_gone = True
        self._out.clear()
        self._has_room.set()

    async def room(self) -> None:
        """Wait while there is much to be written."""
        await self._has_room.wait()

    async def write(self) -> None:
        """Write what is there, or wait until there is something and write that."""
        await self._has_out.wait()
        data = bytes(self._out)
        self._out.clear()
        self._has_out.clear()
        self._has_room.set()
        if data:
            self._count(len(data))
            await self.wire.write(data)
