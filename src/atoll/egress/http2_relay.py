"""Passes HTTP/2 requests to one name and answers back, looking at every request's head; h2 does the reading.

One connection inside is one connection outside, and a stream of the one is a stream of the other, so that nothing has
to be translated. Both sides' windows are their own: a side may send no more than the other one has taken.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Final

from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    InformationalResponseReceived,
    RemoteSettingsChanged,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import NoAvailableStreamIDError, ProtocolError
from h2.settings import SettingCodes
from hpack.struct import Header, NeverIndexedHeaderTuple

from atoll.egress.http2_exchange import Exchange, Way
from atoll.egress.http2_frames import Frames, GoAway
from atoll.egress.http2_peer import STREAMS_MAX, Http2Error, Http2Peer
from atoll.egress.http2_rules import check_head
from atoll.egress.meter import Meter
from atoll.egress.refusal import RefusedError
from atoll.egress.wires import Wire
from atoll.model.egress_decision import EgressReason

REFUSALS_MAX: Final = 32

_MISDIRECTED: Final = b"421"  # RFC 9110 section 15.5.20: it may be asked again, on another connection
_LAST_WORDS_S_MAX: Final = 1.0


class Http2Relay:
    """One connection of a sandbox, which is to carry requests for ``name`` at ``port`` only."""

    def __init__(
        self,
        inside: Wire,
        outside: Wire,
        *,
        name: str,
        port: int,
        meter: Meter,
        turn: asyncio.Lock,
        buffer_bytes: int,
        head_s_max: float,
        fill: Callable[[Iterable[tuple[bytes, bytes]]], list[bytes]],
        on_refused: Callable[[EgressReason], str],
    ) -> None:
        """``fill`` gives the values that are sent for a head, or raises ``RefusedError``. ``on_refused`` is told of a
        request that goes nowhere, and gives what is said of it. ``turn`` is taken for each piece that is read, by all
        connections of one sandbox: a head takes milliseconds, and a hundred of them at once would be others' second.
        ``buffer_bytes`` is the window of a stream, half of a connection's. ``head_s_max`` is how long the first request
        may take to come.
        """
        self._inside = Http2Peer(inside, is_client=False, buffer_bytes=buffer_bytes, count=meter.count_received)
        self._outside = Http2Peer(outside, is_client=True, buffer_bytes=buffer_bytes, count=meter.count_sent)
        self._turn = turn
        self._name = name
        self._port = port
        self._fill = fill
        self._on_refused = on_refused
        self._refusals = 0
        self._streams_max = STREAMS_MAX
        self._is_leaving = False
        self._exchanges: dict[Http2Peer, dict[int, Exchange]] = {self._inside: {}, self._outside: {}}
        self._waiting: dict[Http2Peer, dict[Way, None]] = {self._inside: {}, self._outside: {}}
        loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = loop.create_future()
        self._first_head = loop.call_later(head_s_max, self._end, RefusedError(EgressReason.TOO_SLOW))

    async def run(self) -> None:
        """Relay until a side has ended. Raises ``RefusedError``, ``OSError``."""
        self._inside.open()
        self._outside.open()
        tasks = [
            asyncio.create_task(work)
            for work in (
                self._guard(self._hear(self._inside)),
                self._guard(self._write(self._inside)),
                self._guard_outside(self._hear(self._outside)),
                self._guard_outside(self._write(self._outside)),
            )
        ]
        try:
            await self._over
        except RefusedError:
            await _settle(tasks)
            with suppress(OSError, TimeoutError, RefusedError):
                await self._say_last_words()
            raise
        finally:
            self._first_head.cancel()
            await _settle(tasks)

    def _end(self, error: Exception | None = None) -> None:
        if self._over.done():
            return
        if error is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(error)

    async def _guard(self, work: Coroutine[None, None, None]) -> None:
        """What goes wrong inside is the end."""
        try:
            await work
        except Http2Error:
            self._end(RefusedError(EgressReason.NOT_HTTP))
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits is told
            self._end(error)

    async def _guard_outside(self, work: Coroutine[None, None, None]) -> None:
        """What goes wrong outside ends what is not all here yet."""
        try:
            await work
        except (Http2Error, OSError):
            self._lose_outside()
        except Exception as error:  # noqa: BLE001 - as above
            self._end(error)
        else:
            self._lose_outside()

    async def _hear(self, peer: Http2Peer) -> None:
        try:
            while data := await peer.wire.read():
                for part in peer.cut(data):
                    async with self._turn:
                        self._on_part(peer, part)
                        await asyncio.sleep(0)  # others' turn
                    await self._inside.room()
                    await self._outside.room()
        except ProtocolError as error:  # what one side said cannot be told to the other
            raise ConnectionError("no more can be passed on") from error
        finally:
            self._collect()
        if peer is self._inside:
            self._end()

    def _on_part(self, peer: Http2Peer, part: Frames | GoAway) -> None:
        if isinstance(part, GoAway):
            self._on_goaway(peer, part)
        else:
            for event in peer.receive(part):
                self._on_event(peer, event)
        self._collect()
        self._end_if_left()

    async def _write(self, peer: Http2Peer) -> None:
        while True:
            await peer.write()
            self._pass_on_all(peer)
            self._collect()
            self._end_if_left()

    def _collect(self) -> None:
        self._inside.collect()
        self._outside.collect()

    def _on_event(self, peer: Http2Peer, event: Event) -> None:
        match event:
            case RequestReceived():
                if peer is self._outside:  # h2 lets servers begin streams that were not promised
                    raise Http2Error("a server that asks")
                self._on_request(event)
            case ResponseReceived() | InformationalResponseReceived():
                self._on_answer(event)
            case DataReceived():
                self._on_data(peer, event)
            case TrailersReceived():
                self._on_trailers(peer, event)
            case StreamEnded():
                self._on_ended(peer, event.stream_id)
            case StreamReset():
                self._on_reset(peer, event)
            case WindowUpdated():
                self._on_window(peer, event.stream_id)
            case RemoteSettingsChanged():
                self._on_settings(peer)

    def _on_request(self, event: RequestReceived) -> None:
        self._first_head.cancel()
        self._inside.charge_head(event.headers)
        try:
            check_head(event.headers, self._name, self._port)
            head = self._filled(event.headers)
        except RefusedError as refused:
            self._refuse(event, refused.reason)
            return
        # To write long values takes longer than to read their placeholders.
        self._inside.charge_head([now for now, before in zip(head, event.headers, strict=True) if now is not before])
        outside_id = self._new_stream()
        if outside_id is None:
            self._inside.reset(event.stream_id, ErrorCodes.REFUSED_STREAM)
            return
        exchange = Exchange(self._inside, event.stream_id, self._outside, outside_id)
        self._exchanges[self._inside][event.stream_id] = exchange
        self._exchanges[self._outside][outside_id] = exchange
        has_ended = event.stream_ended is not None
        self._outside.connection.send_headers(outside_id, head, end_stream=has_ended)
        exchange.there.is_done = exchange.there.has_ended = has_ended

    def _new_stream(self) -> int | None:
        """Give the number of a stream that the server takes; ``None`` when it takes none now."""
        connection = self._outside.connection
        if self._is_leaving or connection.open_outbound_streams >= connection.remote_settings.max_concurrent_streams:
            return None
        try:
            return connection.get_next_available_stream_id()
        except NoAvailableStreamIDError:
            return None

    def _filled(self, head: Sequence[Header]) -> list[Header]:
        """A value that was put in is kept out of the tables of headers that were sent before."""
        plain = [(bytes(header[0]), bytes(header[1])) for header in head]
        return [
            header if given == value else NeverIndexedHeaderTuple(key, given)
            for header, (key, value), given in zip(head, plain, self._fill(plain), strict=True)
        ]

    def _refuse(self, event: RequestReceived, reason: EgressReason) -> None:
        text = self._on_refused(reason).encode() + b"\n"
        self._refusals += 1
        if self._refusals >= REFUSALS_MAX:
            raise RefusedError(reason)
        connection = self._inside.connection
        fits = connection.local_flow_control_window(event.stream_id) >= len(text)
        connection.send_headers(
            event.stream_id, [(b":status", _MISDIRECTED), (b"content-type", b"text/plain")], end_stream=not fits
        )
        if fits:
            connection.send_data(event.stream_id, text, end_stream=True)
        if event.stream_ended is None:
            self._inside.reset(event.stream_id, ErrorCodes.NO_ERROR)

    def _on_answer(self, event: ResponseReceived | InformationalResponseReceived) -> None:
        self._outside.charge_head(event.headers)
        exchange = self._exchanges[self._outside].get(event.stream_id)
        if exchange is None:
            return
        way = exchange.back
        has_ended = isinstance(event, ResponseReceived) and event.stream_ended is not None
        self._inside.connection.send_headers(way.target_id, event.headers, end_stream=has_ended)
        way.is_done = way.has_ended = has_ended
        self._forget_if_over(exchange)

    def _on_data(self, peer: Http2Peer, event: DataReceived) -> None:
        exchange = self._exchanges[peer].get(event.stream_id)
        way = None if exchange is None else exchange.way_from(peer)
        unheld = event.flow_controlled_length
        if way is not None and not way.is_done and event.data:
            way.hold(event.data)
            unheld -= len(event.data)
        if not event.data and event.stream_ended is None:
            peer.charge(1)
        if unheld:
            peer.connection.acknowledge_received_data(unheld, event.stream_id)
        if way is not None:
            way.has_ended = event.stream_ended is not None
            self._pass_on(way)

    def _on_trailers(self, peer: Http2Peer, event: TrailersReceived) -> None:
        peer.charge_head(event.headers)
        exchange = self._exchanges[peer].get(event.stream_id)
        if exchange is not None:
            exchange.way_from(peer).trailers = event.headers

    def _on_ended(self, peer: Http2Peer, stream_id: int) -> None:
        exchange = self._exchanges[peer].get(stream_id)
        if exchange is not None:
            way = exchange.way_from(peer)
            way.has_ended = True
            self._pass_on(way)

    def _on_reset(self, peer: Http2Peer, event: StreamReset) -> None:
        exchange = self._exchanges[peer].get(event.stream_id)
        if exchange is None:
            return
        if peer is self._outside and exchange.back.has_ended:
            # The whole answer is here, and the rest of the request is not wanted.
            exchange.want_no_more(event.error_code)
            self._forget_if_over(exchange)
        else:
            self._drop(exchange, event.error_code, but=peer)

    def _on_window(self, peer: Http2Peer, stream_id: int) -> None:
        if stream_id == 0:
            self._pass_on_all(peer)
            return
        exchange = self._exchanges[peer].get(stream_id)
        if exchange is not None:
            self._pass_on(exchange.back if peer is self._inside else exchange.there)

    def _on_settings(self, peer: Http2Peer) -> None:
        peer.keep_table_small()
        self._pass_on_all(peer)  # its windows may be larger now
        streams_max = min(STREAMS_MAX, self._outside.connection.remote_settings.max_concurrent_streams)
        if peer is self._outside and streams_max != self._streams_max:
            self._streams_max = streams_max
            self._inside.connection.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: streams_max})

    def _on_goaway(self, peer: Http2Peer, goaway: GoAway) -> None:
        """A client that goes away takes no requests of the server's, of which there are none anyway."""
        peer.charge(1)
        if peer is self._outside:
            for outside_id, exchange in list(self._exchanges[peer].items()):
                if outside_id > goaway.last_stream_id:  # not looked at: it may be asked again
                    self._drop(exchange, ErrorCodes.REFUSED_STREAM, but=peer)
            self._leave(goaway.error_code)

    def _leave(self, code: int) -> None:
        """Take no new requests; what was begun goes on."""
        if not self._is_leaving:
            self._is_leaving = True
            self._inside.go_away(code)
        self._end_if_left()

    def _lose_outside(self) -> None:
        """Nothing more comes from there, and nothing can be sent."""
        self._outside.lose()
        for exchange in list(self._exchanges[self._inside].values()):
            if exchange.back.has_ended:
                exchange.want_no_more(ErrorCodes.NO_ERROR)
                self._forget_if_over(exchange)
            else:
                self._drop(exchange, ErrorCodes.INTERNAL_ERROR, but=self._outside)
        self._collect()
        self._leave(int(ErrorCodes.NO_ERROR))

    def _end_if_left(self) -> None:
        if self._is_leaving and not self._exchanges[self._inside] and self._inside.is_written:
            self._end()

    def _pass_on(self, way: Way) -> None:
        """Pass on what the target takes now; the rest waits for it."""
        while way.step():
            pass
        if way.is_waiting:
            self._waiting[way.target][way] = None
            return
        self._waiting[way.target].pop(way, None)
        if way.is_done:
            self._forget_if_over(self._exchanges[way.source].get(way.source_id))

    def _pass_on_all(self, target: Http2Peer) -> None:
        """Let all that waits for one side have its turn, a frame at a time."""
        waiting = self._waiting[target]
        has_moved = True
        while has_moved and waiting:
            has_moved = False
            for way in tuple(waiting):
                has_moved |= way.step()
                if not way.is_waiting:
                    waiting.pop(way, None)
                    self._forget_if_over(self._exchanges[way.source].get(way.source_id))

    def _forget_if_over(self, exchange: Exchange | None) -> None:
        """Forget an exchange that is over."""
        if exchange is None or not exchange.is_over:
            return
        self._forget(exchange)
        for peer in self._exchanges:
            peer.allowance.give_for_answer()
        if exchange.reset is not None:
            self._inside.reset(exchange.back.target_id, exchange.reset)

    def _drop(self, exchange: Exchange, code: int, *, but: Http2Peer) -> None:
        """End an exchange in the middle; the side that knows is not told."""
        self._forget(exchange)
        for way in (exchange.there, exchange.back):
            if way.source is not but:
                way.source.reset(way.source_id, code)
        for way in (exchange.there, exchange.back):
            way.abandon()

    def _forget(self, exchange: Exchange) -> None:
        for way in (exchange.there, exchange.back):
            self._exchanges[way.source].pop(way.source_id, None)
            self._waiting[way.target].pop(way, None)

    async def _say_last_words(self) -> None:
        async with asyncio.timeout(_LAST_WORDS_S_MAX):
            if self._inside.is_written:
                self._inside.go_away(int(ErrorCodes.ENHANCE_YOUR_CALM))
            while not self._inside.is_written:
                await self._inside.write()


async def _settle(tasks: Iterable["asyncio.Task[None]"]) -> None:
    """End tasks and look at what became of them."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
