"""Requests through the HTTP/2 relay: where each goes, what is put in, how it ends, and what a hostile side costs."""

import asyncio
import contextlib
import hashlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    RemoteSettingsChanged,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes
from hpack.struct import NeverIndexedHeaderTuple
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from atoll.egress.buffers import LARGE_BYTES
from atoll.egress.http2_frames import GoAway
from atoll.egress.http2_peer import STREAMS_MAX, Http2Error, Http2Peer
from atoll.egress.http2_relay import REFUSALS_MAX, Http2Relay
from atoll.egress.meter import Meter
from atoll.egress.refusal import RefusedError
from atoll.egress.substitution import VALUES_BYTES_MAX, Substitution
from atoll.egress.wires import SocketWire
from atoll.model.egress_decision import EgressReason

NAME = "api.example.com"
VALUE = "s3cret-value-of-a-test"
GET = {":method": "GET", ":scheme": "https", ":authority": NAME, ":path": "/"}
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Head = list[tuple[str, str]]


def fields(event: RequestReceived | ResponseReceived | TrailersReceived) -> Head:
    """Give a head as h2 was told to give it: as text."""
    return [(str(key), str(value)) for key, value in event.headers]


class Talker:
    """One end of a conversation, whose words the test says."""

    def __init__(self, sock: socket.socket, *, is_client: bool) -> None:
        self.sock = sock
        self.h2 = H2Connection(
            H2Configuration(client_side=is_client, header_encoding="utf-8", validate_outbound_headers=False)
        )
        self.bodies: dict[int, bytes] = {}
        self.takes_data = True
        self.poured = 0
        self._saying = asyncio.Lock()
        self.is_ended = False
        self._events: list[Event] = []

    async def say(self, data: bytes = b"") -> None:
        async with self._saying:
            await asyncio.get_running_loop().sock_sendall(self.sock, self.h2.data_to_send() + data)

    async def hear(self) -> None:
        """Take in what comes next; ``is_ended`` when nothing does any more."""
        try:
            data = await asyncio.get_running_loop().sock_recv(self.sock, 1 << 16)
        except ConnectionError:
            data = b""
        self.is_ended = not data
        if self.is_ended:
            return
        for event in self.h2.receive_data(data):
            self._events.append(event)
            if isinstance(event, DataReceived):
                self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
                if self.takes_data:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # what is left is still to be heard
            await self.say()

    async def next(self, *kinds: type[Event], stream_id: int | None = None) -> Event:
        """Give the first event of some kinds, and forget it."""
        async with asyncio.timeout(10):
            while True:
                for event in self._events:
                    if isinstance(event, kinds) and stream_id in (None, getattr(event, "stream_id", None)):
                        self._events.remove(event)
                        return event
                assert not self.is_ended, f"nothing more comes; there were {self._events}"
                await self.hear()

    async def ask(self, head: dict[str, str] | Head = GET, *, ends: bool = True) -> int:
        stream_id = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream_id, list(head.items()) if isinstance(head, dict) else head, end_stream=ends)
        await self.say()
        return stream_id

    async def asked(self) -> RequestReceived:
        event = await self.next(RequestReceived)
        assert isinstance(event, RequestReceived)
        return event

    async def answer(self, stream_id: int, body: bytes = b"", status: str = "200") -> None:
        self.h2.send_headers(stream_id, [(":status", status)], end_stream=not body)
        if body:
            await self.pour(stream_id, body)

    async def pour(self, stream_id: int, body: bytes) -> None:
        """Send a body as fast as the other side takes it."""
        while body:
            room = min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size)
            if room:
                piece, body = body[:room], body[room:]
                self.h2.send_data(stream_id, piece, end_stream=not body)
                self.poured += len(piece)
                await self.say()
            else:
                assert not self.is_ended, "nobody takes it"
                async with asyncio.timeout(10):
                    await self.hear()
        await self.say()

    async def status(self, stream_id: int) -> str:
        event = await self.next(ResponseReceived, stream_id=stream_id)
        assert isinstance(event, ResponseReceived)
        return dict(fields(event))[":status"]


class Line:
    """A program inside, the relay, and a server outside."""

    def __init__(
        self,
        on_bytes: Callable[[int], None] = lambda _: None,
        head_s_max: float = 10,
        turn: asyncio.Lock | None = None,
        on_head: Callable[[], None] = lambda: None,
    ) -> None:
        program, inside = socket.socketpair()
        server, outside = socket.socketpair()
        self._socks = (program, inside, server, outside)
        for sock in self._socks:
            sock.setblocking(False)
        self.program = Talker(program, is_client=True)
        self.server = Talker(server, is_client=False)
        self.noted: list[EgressReason] = []
        self._on_head = on_head
        self.meter = Meter(asyncio.get_running_loop().time, on_bytes)
        self.relay = Http2Relay(
            SocketWire(inside),
            SocketWire(outside),
            name=NAME,
            port=443,
            meter=self.meter,
            turn=turn or asyncio.Lock(),
            buffer_bytes=LARGE_BYTES,
            head_s_max=head_s_max,
            fill=self._fill,
            on_refused=self._note,
        )
        self.running = asyncio.get_running_loop().create_task(self._run())

    def _fill(self, head: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
        self._on_head()
        return Substitution({"TOKEN": VALUE}).fill(head)

    def _note(self, reason: EgressReason) -> str:
        self.noted.append(reason)
        return "refused"

    async def _run(self) -> None:
        try:
            await self.relay.run()
        finally:
            self._socks[1].close()
            self._socks[3].close()

    async def begin(self) -> "Line":
        for talker in (self.program, self.server):
            talker.h2.initiate_connection()
            await talker.say()
        return self

    async def outcome(self) -> EgressReason | None:
        """Wait for the relay's end; give why it refused to go on, if it did."""
        async with asyncio.timeout(10):
            try:
                await self.running
            except RefusedError as refused:
                return refused.reason
            except OSError:
                return None
        return None

    async def close(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        for sock in self._socks:
            sock.close()


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    line = await Line().begin()
    yield line
    await line.close()


async def test_a_value_is_put_in_and_nothing_else_is_changed(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    head = [*GET.items(), ("authorization", "Bearer $TOKEN"), ("x-key", "${TOKEN}"), ("x-other", "$OTHER"), ("x", "y")]
    head[3] = (":path", "/$TOKEN")
    for _ in range(2):  # the second is sent by reference to the first
        stream_id = await line.program.ask(head)
        asked = await line.server.asked()
        assert fields(asked) == [
            *head[:4],
            ("authorization", f"Bearer {VALUE}"),
            ("x-key", VALUE),
            *head[6:],
        ]
        secret = [header for header in asked.headers if VALUE in str(header[1])]
        assert all(isinstance(header, NeverIndexedHeaderTuple) for header in secret)
        await line.server.answer(asked.stream_id, b"body")
        await line.server.say()
        assert await line.program.status(stream_id) == "200"
        await line.program.next(StreamEnded, stream_id=stream_id)
        assert line.program.bodies[stream_id] == b"body"
    assert VALUE not in caplog.text
    assert line.meter.sent > 0
    assert line.meter.received > 0


async def test_early_answers_and_trailers_both_ways(line: Line) -> None:
    stream_id = await line.program.ask({**GET, ":method": "POST"}, ends=False)
    asked = await line.server.asked()
    line.server.h2.send_headers(asked.stream_id, [(":status", "100")])
    await line.server.say()
    await line.program.next(InformationalResponseReceived)
    line.program.h2.send_data(stream_id, b"question", pad_length=100)
    line.program.h2.send_headers(stream_id, [("x-sum", "$TOKEN")], end_stream=True)
    await line.program.say()
    trailers = await line.server.next(TrailersReceived)
    assert isinstance(trailers, TrailersReceived)
    assert fields(trailers) == [("x-sum", "$TOKEN")]
    assert line.server.bodies[asked.stream_id] == b"question"
    line.server.h2.send_headers(asked.stream_id, [(":status", "200")])
    line.server.h2.send_data(asked.stream_id, b"answer")
    line.server.h2.send_headers(asked.stream_id, [("grpc-status", "0")], end_stream=True)
    await line.server.say()
    trailers = await line.program.next(TrailersReceived)
    assert isinstance(trailers, TrailersReceived)
    assert fields(trailers) == [("grpc-status", "0")]
    assert line.program.bodies[stream_id] == b"answer"


async def test_all_bytes_both_ways_at_once(line: Line) -> None:
    there, back = os.urandom(3_000_001), os.urandom(4_000_003)
    ids = [await line.program.ask({**GET, ":method": "PUT"}, ends=False) for _ in range(2)]
    asked = [await line.server.asked() for _ in ids]

    async def serve() -> None:
        for one in asked:
            await line.server.answer(one.stream_id, back)
        while any(len(line.server.bodies.get(one.stream_id, b"")) < len(there) for one in asked):
            await line.server.hear()

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(serve())
        for stream_id in ids:
            await line.program.pour(stream_id, there)
        for stream_id in ids:
            while len(line.program.bodies.get(stream_id, b"")) < len(back):
                await line.program.hear()
    for stream_id, one in zip(ids, asked, strict=True):
        assert hashlib.sha256(line.server.bodies[one.stream_id]).digest() == hashlib.sha256(there).digest()
        assert line.program.bodies[stream_id] == back


async def test_another_name_on_a_connection_that_goes_on(line: Line) -> None:
    good = await line.program.ask()
    asked = await line.server.asked()
    bad = await line.program.ask({**GET, ":authority": "other.example.com"})
    unfinished = await line.program.ask({**GET, ":authority": f"{NAME}:80"}, ends=False)
    assert await line.program.status(bad) == "421"
    await line.program.next(StreamEnded, stream_id=bad)
    assert line.program.bodies[bad] == b"refused\n"
    assert await line.program.status(unfinished) == "421"
    await line.server.answer(asked.stream_id)
    await line.server.say()
    assert await line.program.status(good) == "200"
    assert line.noted == [EgressReason.OTHER_NAME] * 2
    await line.program.ask({**GET, ":path": "/next"})
    assert dict(fields(await line.server.asked()))[":path"] == "/next"  # none of the others came


async def test_names_are_not_tried_out_for_ever(line: Line) -> None:
    for _ in range(REFUSALS_MAX):
        await line.program.ask({**GET, ":authority": "other.example.com"})
    assert await line.outcome() is EgressReason.OTHER_NAME
    assert len(line.noted) == REFUSALS_MAX


async def test_more_placeholders_than_a_head_has_room_for(line: Line) -> None:
    many = await line.program.ask({**GET, "x": "$TOKEN," * (VALUES_BYTES_MAX // len(VALUE) + 1)})
    assert await line.program.status(many) == "421"
    assert line.noted == [EgressReason.NOT_HTTP]
    await line.program.ask({**GET, "x": "$TOKEN"})
    assert dict(fields(await line.server.asked()))["x"] == VALUE


async def test_connect(line: Line) -> None:
    stream_id = await line.program.ask([(":method", "CONNECT"), (":authority", f"{NAME}:443")], ends=False)
    assert await line.program.status(stream_id) == "421"
    assert line.noted == [EgressReason.NOT_HTTP]


async def test_resets_go_both_ways(line: Line) -> None:
    first, second = await line.program.ask(), await line.program.ask()
    asked = [await line.server.asked(), await line.server.asked()]
    line.program.h2.reset_stream(first, ErrorCodes.CANCEL)
    await line.program.say()
    reset = await line.server.next(StreamReset)
    assert isinstance(reset, StreamReset)
    assert (reset.stream_id, reset.error_code) == (asked[0].stream_id, ErrorCodes.CANCEL)
    line.server.h2.reset_stream(asked[1].stream_id, ErrorCodes.REFUSED_STREAM)
    await line.server.say()
    reset = await line.program.next(StreamReset)
    assert isinstance(reset, StreamReset)
    assert (reset.stream_id, reset.error_code) == (second, ErrorCodes.REFUSED_STREAM)


async def test_an_answer_that_does_not_want_the_rest_of_the_request(line: Line) -> None:
    stream_id = await line.program.ask({**GET, ":method": "POST"}, ends=False)
    asked = await line.server.asked()
    await line.server.answer(asked.stream_id, b"too large", "413")
    line.server.h2.reset_stream(asked.stream_id, ErrorCodes.NO_ERROR)
    await line.server.say()
    assert await line.program.status(stream_id) == "413"
    reset = await line.program.next(StreamReset)
    assert isinstance(reset, StreamReset)
    assert reset.error_code is ErrorCodes.NO_ERROR
    assert line.program.bodies[stream_id] == b"too large"


async def test_a_server_that_goes_away_finishes_first(line: Line) -> None:
    await line.program.ask()
    second = await line.program.ask()
    asked = await line.server.asked()
    await line.server.asked()
    farewell = GoAwayFrame(0, last_stream_id=asked.stream_id).serialize()
    await line.server.say(farewell)
    reset = await line.program.next(StreamReset)
    assert isinstance(reset, StreamReset)
    assert (reset.stream_id, reset.error_code) == (second, ErrorCodes.REFUSED_STREAM)
    assert not line.running.done()
    await line.server.answer(asked.stream_id, b"body")
    # Our own program's library would take its GOAWAY for the end of all, as h2 does: read what follows by hand.
    rest = b""
    while piece := await asyncio.get_running_loop().sock_recv(line.program.sock, 1 << 16):
        rest += piece
    assert b"body" in rest
    assert await line.outcome() is None


async def test_a_server_that_hangs_up(line: Line) -> None:
    first, second = await line.program.ask(), await line.program.ask()
    asked = [await line.server.asked(), await line.server.asked()]
    await line.server.answer(asked[0].stream_id, b"x" * 30_000)
    line.server.h2.send_headers(asked[1].stream_id, [(":status", "200")])
    await line.server.say()
    line.server.sock.close()
    await line.program.next(StreamEnded, stream_id=first)
    assert len(line.program.bodies[first]) == 30_000
    reset = await line.program.next(StreamReset)
    assert isinstance(reset, StreamReset)
    assert reset.stream_id == second
    await line.program.next(ConnectionTerminated)
    assert await line.outcome() is None


async def test_a_program_that_hangs_up(line: Line) -> None:
    await line.program.ask()
    await line.server.asked()
    line.program.sock.close()
    assert await line.outcome() is None


async def test_no_more_streams_than_the_server_takes(line: Line) -> None:
    line.server.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
    await line.server.say()
    while True:
        changed = await line.program.next(RemoteSettingsChanged)
        assert isinstance(changed, RemoteSettingsChanged)
        setting = changed.changed_settings.get(SettingCodes.MAX_CONCURRENT_STREAMS)
        if setting is not None and setting.new_value == 1:
            break
    await line.program.ask()
    line.program.h2.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 2
    line.program.h2.remote_settings.acknowledge()
    # One too many, as if it had been on its way already.
    frame = HeadersFrame(3, data=line.program.h2.encoder.encode(list(GET.items())), flags=["END_HEADERS", "END_STREAM"])
    await line.program.say(frame.serialize())
    reason = await line.outcome()
    assert reason is EgressReason.NOT_HTTP


async def test_what_is_not_read_is_not_held(line: Line) -> None:
    """A program that grants the largest windows and reads nothing: the server is stopped early."""
    line.program.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: (1 << 31) - 1})
    line.program.h2.increment_flow_control_window((1 << 31) - 1 - 65_535)
    await line.program.say()
    ids = [await line.program.ask() for _ in range(4)]
    asked = [await line.server.asked() for _ in ids]
    flood = [line.server.answer(one.stream_id, bytes(1_000_000)) for one in asked]
    floods = [asyncio.get_running_loop().create_task(one) for one in flood]
    done, _ = await asyncio.wait(floods, timeout=0.5)
    assert not done
    kernels = sum(sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) for sock in line._socks)
    assert 0 < line.server.poured <= kernels + 512 * 1024
    async with asyncio.timeout(20):
        while sum(len(body) for body in line.program.bodies.values()) < 4_000_000:
            await line.program.hear()
    await asyncio.gather(*floods)


async def test_a_stalled_stream_does_not_stop_the_others(line: Line) -> None:
    line.program.h2.increment_flow_control_window(1 << 20)
    stalled, other = await line.program.ask(), await line.program.ask()
    asked = [await line.server.asked(), await line.server.asked()]
    line.program.takes_data = False
    line.server.h2.send_headers(asked[0].stream_id, [(":status", "200")])
    body = bytes(LARGE_BYTES)  # more than the program's window, and all of the relay's
    async with asyncio.timeout(20):
        pouring = asyncio.get_running_loop().create_task(line.server.pour(asked[0].stream_id, body))
        while len(line.program.bodies.get(stalled, b"")) < 65_535:
            await line.program.hear()
        await pouring
    assert line.server.h2.local_flow_control_window(asked[1].stream_id) < 2 * LARGE_BYTES
    await line.server.answer(asked[1].stream_id, b"body")
    await line.server.say()
    await line.program.next(StreamEnded, stream_id=other)
    assert line.program.bodies[other] == b"body"
    # What was held for a stream that is given up is taken off the connection's window again.
    line.program.h2.reset_stream(stalled)
    await line.program.say()
    async with asyncio.timeout(10):
        while line.server.h2.outbound_flow_control_window < LARGE_BYTES:
            await line.server.hear()


async def test_connections_of_one_sandbox_read_in_turns() -> None:
    rounds = 0
    read_in: list[int] = []

    async def count_rounds() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    turn = asyncio.Lock()
    lines = [await Line(turn=turn, on_head=lambda: read_in.append(rounds)).begin() for _ in range(8)]
    counting = asyncio.create_task(count_rounds())
    for line in lines:
        await line.program.ask()
    for line in lines:
        await line.server.asked()
    counting.cancel()
    # Nobody else waits for more than one of them.
    assert len(set(read_in)) == len(read_in) == len(lines)
    for line in lines:
        await line.close()


async def test_a_request_that_does_not_come(caplog: pytest.LogCaptureFixture) -> None:
    line = await Line(head_s_max=0.05).begin()
    assert await line.outcome() is EgressReason.TOO_SLOW
    await line.close()


async def test_bytes_that_are_used_up() -> None:
    left = 1_000_000

    def spend(size: int) -> None:
        nonlocal left
        left -= size
        if left < 0:
            raise RefusedError(EgressReason.BYTES_MAX)

    line = await Line(spend).begin()
    stream_id = await line.program.ask({**GET, ":method": "PUT"}, ends=False)
    await line.server.asked()

    async def take() -> None:
        while not line.server.is_ended:
            await line.server.hear()

    taking = asyncio.get_running_loop().create_task(take())
    with pytest.raises((OSError, AssertionError)):
        await line.program.pour(stream_id, bytes(4_000_000))
    assert await line.outcome() is EgressReason.BYTES_MAX
    await taking
    await line.close()


def literal(fields: Iterable[tuple[bytes, bytes]], *, prefix: bytes = b"\0") -> bytes:
    """Encode a head without tables: what an attacker would write by hand."""
    block = b""
    for key, value in fields:
        block += prefix + bytes([len(key)]) + key
        size = len(value)
        block += bytes([size]) if size < 127 else b"\x7f" + _integer(size - 127)
        block += value
    return block


def _integer(number: int) -> bytes:
    digits = b""
    while number >= 128:
        digits += bytes([number % 128 + 128])
        number //= 128
    return digits + bytes([number])


PLAIN_HEAD = literal((key.encode(), value.encode()) for key, value in GET.items())
BIG = literal([(b"x-big", b"a" * 4000)], prefix=b"\x40")  # goes into the table; 0xbe is a reference to it


def request(stream_id: int, block: bytes = PLAIN_HEAD, flags: Iterable[str] = ("END_HEADERS", "END_STREAM")) -> bytes:
    return HeadersFrame(stream_id, data=block, flags=flags).serialize()


def many(make: Callable[[int], bytes], count: int) -> bytes:
    return b"".join(make(2 * number + 1) for number in range(count))


def settings(values: dict[int, int]) -> bytes:
    return SettingsFrame(0, settings=values).serialize()


def frames(*sent: Frame) -> bytes:
    return b"".join(frame.serialize() for frame in sent)


HOSTILE = {
    "resets": many(lambda at: request(at) + RstStreamFrame(at, error_code=8).serialize(), 1000),
    "streams": many(request, STREAMS_MAX + 1),
    "pings": PingFrame(0).serialize() * 1000,
    "settings": settings({1: 1}) * 1000,
    "settings, in turns": (settings({1: 0}) + settings({1: 1 << 31})) * 500,
    "priorities": PriorityFrame(1, depends_on=3).serialize() * 1000,
    "windows": request(1) + WindowUpdateFrame(1, window_increment=1).serialize() * 1000,
    "data without data": request(1, flags=["END_HEADERS"]) + DataFrame(1).serialize() * 1000,
    "padding": request(1, flags=["END_HEADERS"])
    + DataFrame(1, pad_length=9, flags=["PADDED"]).serialize() * 1000,
    "unknown frames": b"\0\0\0\x77\0\0\0\0\0" * 1000,
    "goaways": GoAwayFrame(0).serialize() * 1000,
    "continuations": request(1, flags=[]) + ContinuationFrame(1, data=b"").serialize() * 1000,
    "a long head": request(1, PLAIN_HEAD + literal([(b"x", b"y")]) * 1000, ["END_STREAM"])
    + ContinuationFrame(1, data=literal([(b"x", b"y")]) * 3000, flags=["END_HEADERS"]).serialize(),
    "a bomb": request(1, PLAIN_HEAD + BIG + b"\xbe" * 8000),
    "many bombs": request(1, PLAIN_HEAD + BIG + b"\xbe" * 6) + many(lambda at: request(at + 2, b"\xbe" * 7), 1000),
    "large heads": many(lambda at: request(at, PLAIN_HEAD + literal([(b"x", b"y" * 15_000)])), 99),
    "a table of the wrong size": request(1, b"\x3f\xe1\xff\x03" + PLAIN_HEAD),
    "no such index": request(1, b"\xff\xff\x7f"),
    "an endless number": request(1, b"\xff" * 100),
    "bad Huffman": request(1, b"\x00\x81\xff\x81\xff"),
    "an even stream": request(2),
    "stream 0": b"\0\0\0\1\5\0\0\0\0",
    "a stream that was": request(3) + request(1),
    "data before a head": DataFrame(1, data=b"x").serialize(),
    "a window too large": settings({4: 1 << 31}),
    "windows too large": WindowUpdateFrame(0, window_increment=(1 << 31) - 1).serialize() * 2,
    "a window of nothing": b"\0\0\4\x08\0\0\0\0\0\0\0\0\0",
    "more than the window": request(1, flags=["END_HEADERS"]) + DataFrame(1, data=bytes(16_384)).serialize() * 70,
    "a promise": request(1) + PushPromiseFrame(1, promised_stream_id=2, flags=["END_HEADERS"]).serialize(),
    "a length that is not kept": request(1, PLAIN_HEAD + literal([(b"content-length", b"5")]), ["END_HEADERS"])
    + DataFrame(1, data=b"0123456789", flags=["END_STREAM"]).serialize(),
    "capitals": request(1, PLAIN_HEAD + literal([(b"X-A", b"b")])),
    "a line's end": request(1, PLAIN_HEAD + literal([(b"x", b"a\r\nhost: other.example.com")])),
    "a connection's own": request(1, PLAIN_HEAD + literal([(b"transfer-encoding", b"chunked")])),
    "two names": request(1, PLAIN_HEAD + literal([(b"host", b"other.example.com")])),
    "two authorities": request(1, PLAIN_HEAD + literal([(b":authority", NAME.encode())])),
    "a frame too long": b"\xff\xff\xff\0\0\0\0\0\1",
    "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("attack", HOSTILE)
async def test_hostile_programs(attack: str) -> None:
    line = Line()
    line.server.takes_data = False
    line.server.h2.initiate_connection()
    await line.server.say()

    async def be_served() -> None:
        while not line.server.is_ended:
            await line.server.hear()

    async def say(data: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            await line.program.say(data)

    serving = asyncio.get_running_loop().create_task(be_served())
    opening = b"" if attack == "HTTP/1.1" else PREFACE + settings({})
    sending = asyncio.get_running_loop().create_task(say(opening + HOSTILE[attack]))
    try:
        assert await line.outcome() is EgressReason.NOT_HTTP
        await serving  # what the server was sent was all good
    finally:
        await line.close()
        await asyncio.gather(sending, serving, return_exceptions=True)


@pytest.mark.parametrize("attack", HOSTILE)
async def test_hostile_servers(attack: str) -> None:
    """The same from the other side: the program is told that it is over, and it costs no more."""
    line = Line()
    line.program.takes_data = False
    line.program.h2.initiate_connection()
    await line.program.say()
    await line.program.ask()

    async def be_told() -> None:
        while not line.program.is_ended:
            await line.program.hear()

    telling = asyncio.get_running_loop().create_task(be_told())
    sending = asyncio.get_running_loop().create_task(line.server.say(settings({}) + HOSTILE[attack]))
    try:
        assert await line.outcome() is None
    finally:
        await line.close()
        await asyncio.gather(sending, telling, return_exceptions=True)


async def test_tables_stay_small_whatever_the_other_side_offers(line: Line) -> None:
    line.program.h2.decoder.max_allowed_table_size = (1 << 32) - 1
    await line.program.say(settings({1: (1 << 32) - 1}))
    for number in range(200):
        stream_id = await line.program.ask()
        asked = await line.server.asked()
        line.server.h2.send_headers(asked.stream_id, [(":status", "200"), (f"x-{number}", "v" * 3000)], end_stream=True)
        await line.server.say()
        await line.program.next(StreamEnded, stream_id=stream_id)
    assert line.relay._inside.connection.encoder.header_table_size <= 4096
    assert len(line.relay._inside.connection.streams) < 10
    assert not any(line.relay._exchanges.values())


_frame = st.builds(
    lambda kind, flags, stream_id, body: len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream_id + body,
    st.integers(0, 12),
    st.sampled_from([0, 1, 4, 5, 8, 12, 32, 37, 255]),
    st.sampled_from([0, 1, 2, 3, 5, 7, 1 << 31]).map(lambda number: number.to_bytes(4, "big")),
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([PLAIN_HEAD, BIG, PLAIN_HEAD + BIG, b"\xbe\xbe", b"\x88", b"\0\0\0\1", bytes(8)]),
    ),
)


@given(st.lists(_frame, max_size=30), st.booleans(), st.integers(1, 200))
async def test_whatever_comes_only_its_own_errors_are_raised(sent: list[bytes], is_client: bool, size: int) -> None:
    peer = Http2Peer(_Nowhere(), is_client=is_client, buffer_bytes=LARGE_BYTES, count=lambda _: None)
    peer.open()
    if is_client:
        peer.connection.send_headers(1, list(GET.items()), end_stream=True)
    data = (b"" if is_client else PREFACE) + settings({}) + b"".join(sent)
    with contextlib.suppress(Http2Error):
        for at in range(0, len(data), size):
            for part in peer.cut(data[at : at + size]):
                for event in [] if isinstance(part, GoAway) else peer.receive(part):
                    if isinstance(event, RemoteSettingsChanged):
                        peer.keep_table_small()


@given(st.lists(_frame, max_size=20), st.lists(_frame, max_size=20))
@settings_of_hypothesis(max_examples=60, deadline=None)
async def test_whatever_both_sides_say_the_relay_ends_or_goes_on(there: list[bytes], back: list[bytes]) -> None:
    line = Line()
    request_head = request(1, PLAIN_HEAD, ["END_HEADERS"])
    await line.program.say(PREFACE + settings({}) + request_head + b"".join(there))
    await line.server.say(settings({}) + b"".join(back))
    for sock in (line.program.sock, line.server.sock):
        sock.shutdown(socket.SHUT_WR)
    await line.outcome()  # raises what it must not
    await line.close()


class _Nowhere:
    """A wire that is never read nor written."""

    async def read(self) -> bytes:
        raise AssertionError

    async def write(self, data: bytes) -> None:
        raise AssertionError(data)

    def end(self) -> None:
        raise AssertionError

    def close(self) -> None:
        raise AssertionError
