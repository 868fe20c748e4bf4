"""One connection to an agent, one operation: frames out, frames in, every wait with a deadline."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from atoll.agent.errors import AgentGoneError, AgentMisbehavedError, AgentOverdueError, AgentRefusedError
from atoll.agent.fields import Fields, read_fields, read_string
from atoll.agent.text import printable
from atoll.guest.protocol import (
    FAILURE_CODES,
    FrameDecoder,
    FrameType,
    ProtocolError,
    encode,
    encode_json,
)
from atoll.runtime.contract import Stream

# A large buffer costs more to get than a small answer to read; who has more to say fills the small one.
READ_BYTES: Final = 64 * 1024
READ_BYTES_MAX: Final = 512 * 1024

Frame = tuple[FrameType, bytes]
MakeRoom = Callable[[int], Awaitable[None]]


async def unlimited(_size: int) -> None:
    """Make room for any number of bytes."""


async def open_exchange(
    dial: Callable[[], Awaitable[Stream]],
    request: Mapping[str, Any],
    *,
    send_s: float,
    make_room: MakeRoom = unlimited,
    read_bytes_max: int = READ_BYTES_MAX,
) -> "Exchange":
    """Dial, which bounds itself, and send the request within ``send_s`` seconds; the rest is the exchange's.

    Raises what ``dial`` raises, ``AgentOverdueError``, and ``AgentRefusedError`` for a request that does not fit
    the protocol.
    """
    frame = _encode_request(request)
    exchange = Exchange(await dial(), make_room, request, read_bytes_max=read_bytes_max)
    try:
        with suppress(ConnectionError):  # what the agent said before it hung up is still to be received
            await exchange.send(frame, within_s=send_s)
    except BaseException:
        await exchange.aclose()
        raise
    return exchange


class Exchange:
    """Sends bytes, gives frames; a FAILURE is raised. Hanging up (``aclose``) cancels the operation.

    ``fields`` are those of the request: a FAILURE can name no other.

    ``make_room`` is waited for with the number of bytes that came, before the next are read. What it raises comes out.
    ``read_bytes_max`` is the most that is read at once.
    """

    def __init__(
        self,
        stream: Stream,
        make_room: MakeRoom = unlimited,
        fields: Iterable[str] = (),
        *,
        read_bytes_max: int = READ_BYTES_MAX,
    ) -> None:
        self._stream = stream
        self._make_room = make_room
        self._fields = frozenset(fields)
        self._room_waited_s = 0.0
        self._decoder = FrameDecoder()
        self._frames: deque[Frame] = deque()
        self._is_overdue = False
        self._hanging_up: asyncio.Future[None] | None = None
        self._read_bytes = READ_BYTES
        self._read_bytes_max = read_bytes_max

    async def send(self, frame: bytes, *, within_s: float | None) -> None:
        """Send a frame; without ``within_s`` for as long as the agent does not read.

        Raises ``AgentOverdueError``, and ``ConnectionError``: ``receive`` then tells why.
        """
        timer = None if within_s is None else self._hang_up_at(asyncio.get_running_loop().time() + within_s)
        try:
            await self._stream.write(frame)
        except ConnectionError:
            if not self._is_overdue:
                raise
        finally:
            if timer is not None:
                timer.cancel()
        if self._is_overdue:
            raise AgentOverdueError("the agent stopped taking what it was sent")

    async def receive(self, *, until: float | None) -> Frame:
        """Give the next frame, by ``until`` in the event loop's time; ``None`` leaves the watch to the caller.

        Raises ``AgentRefusedError``, ``AgentGoneError``, ``AgentMisbehavedError``, ``AgentOverdueError``.
        """
        if not self._frames:
            await self._read_frames(until)
        frame_type, payload = self._frames.popleft()
        if frame_type is FrameType.FAILURE:
            self.expect_end()
            raise self._read_failure(payload)
        return frame_type, payload

    async def receive_some(self) -> list[Frame]:
        """Give all frames that have come, at least one, whenever that is. Raises as ``receive`` does."""
        frames = [await self.receive(until=None)]
        while self._frames and self._frames[0][0] is not FrameType.FAILURE:
            frames.append(self._frames.popleft())
        return frames

    async def receive_result(self, *, until: float | None) -> Fields:
        """Give the RESULT that must be the next and last frame."""
        frame_type, payload = await self.receive(until=until)
        if frame_type is not FrameType.RESULT:
            raise AgentMisbehavedError(f"a {frame_type.name} frame instead of the result")
        self.expect_end()
        return read_fields(payload)

    def expect_end(self) -> None:
        """Check, after the final frame, that nothing came with it."""
        if self._frames or not self._decoder.at_boundary:
            raise AgentMisbehavedError("the agent went on after its final word")

    def release(self) -> Stream:
        """Give the connection for another operation; only after the final frame, when nothing else has come."""
        return self._stream

    async def aclose(self) -> None:
        """Hang up. Never raises; may be repeated."""
        await self._stream.aclose()

    async def _read_frames(self, until: float | None) -> None:
        while not self._frames:
            # Time that the agent was not listened to is not the agent's.
            timer = None if until is None else self._hang_up_at(until + self._room_waited_s)
            data = b""
            try:
                data = await self._stream.read(self._decoder.read_bytes(self._read_bytes))
            except ConnectionError as error:
                if not self._is_overdue:
                    raise AgentGoneError("the connection to the agent broke") from error
            finally:
                if timer is not None:
                    timer.cancel()
            if self._is_overdue:
                raise AgentOverdueError("the agent did not answer in time")
            if not data:
                raise AgentGoneError("the agent hung up before its answer was complete")
            self._read_bytes = self._read_bytes_max if len(data) >= READ_BYTES else READ_BYTES
            await self._make_room_for(data)
            try:
                self._frames.extend(self._decoder.feed(data))
            except ProtocolError as error:
                raise AgentMisbehavedError(str(error)) from error

    def _read_failure(self, payload: bytes) -> AgentRefusedError:
        fields = read_fields(payload)
        code = read_string(fields, "code")
        if code not in FAILURE_CODES:
            raise AgentMisbehavedError("a failure of no known kind")
        field = fields.get("field")
        named = field if isinstance(field, str) and field in self._fields else None
        return AgentRefusedError(code, printable(read_string(fields, "message")), named)

    def _hang_up_at(self, moment: float) -> asyncio.TimerHandle:
        """Hang up on an agent that is overdue then, which ends the read or write that waits for it.

        No ``asyncio.timeout``, which takes several times as long: each call waits twice, and nearly always shortly.
        """
        return asyncio.get_running_loop().call_at(moment, self._hang_up)

    def _hang_up(self) -> None:
        self._is_overdue = True
        self._hanging_up = asyncio.ensure_future(self._stream.aclose())

    async def _make_room_for(self, data: bytes) -> None:
        if self._make_room is not unlimited:
            began = asyncio.get_running_loop().time()
            await self._make_room(len(data))
            self._room_waited_s += asyncio.get_running_loop().time() - began


def frames_of(chunk: bytes, size_max: int) -> Iterator[bytes]:
    """Cut bytes of any length into DATA frames."""
    view = memoryview(chunk)
    for start in range(0, len(chunk), size_max):
        yield encode(FrameType.DATA, view[start : start + size_max])


def _encode_request(request: Mapping[str, Any]) -> bytes:
    try:
        return encode_json(FrameType.REQUEST, dict(request))
    except ProtocolError as error:
        raise AgentRefusedError("too_large", "the request is too large for one message") from error
    except UnicodeEncodeError as error:
        raise AgentRefusedError("bad_request", "the request holds text that is not Unicode") from error
