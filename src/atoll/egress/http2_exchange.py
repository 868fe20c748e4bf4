"""One request over HTTP/2 and its answer, on their way from one connection to the other."""

from collections import deque

from hpack.struct import Header

from atoll.egress.http2_peer import Http2Peer


class Way:
    """What goes from ``source`` to ``target``. What is held was counted against the source's windows: it gets them back
    as the target takes it.
    """

    def __init__(self, source: Http2Peer, source_id: int, target: Http2Peer, target_id: int) -> None:
        self.source = source
        self.source_id = source_id
        self.target = target
        self.target_id = target_id
        self.trailers: list[Header] | None = None
        self.has_ended = False
        self.is_done = False
        self._held: deque[memoryview] = deque()

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to pass on."""
        return not self.is_done and (bool(self._held) or self.has_ended)

    def hold(self, data: bytes) -> None:
        """Take data in, to be passed on."""
        self._held.append(memoryview(data))

    def step(self) -> bool:
        """Pass one frame on if the target takes one; tells whether it did."""
        if not self.is_waiting or self.target.is_full:
            return False
        connection = self.target.connection
        if not self._held:
            if self.trailers is None:
                connection.end_stream(self.target_id)
            else:
                connection.send_headers(self.target_id, self.trailers, end_stream=True)
            self.is_done = True
            return True
        room = min(connection.local_flow_control_window(self.target_id), connection.max_outbound_frame_size)
        if room <= 0:
            return False
        data = self._held.popleft()
        if len(data) > room:
            self._held.appendleft(data[room:])
            data = data[:room]
        self.is_done = not self._held and self.has_ended and self.trailers is None
        connection.send_data(self.target_id, data, end_stream=self.is_done)
        self._acknowledge(len(data))
        return True

    def abandon(self) -> None:
        """Pass nothing on any more."""
        size = sum(len(data) for data in self._held)
        self._held.clear()
        self._acknowledge(size)
        self.is_done = True

    def _acknowledge(self, size: int) -> None:
        self.source.connection.acknowledge_received_data(size, self.source_id)
        self.source.allowance.give_for_bytes(size)
        self.target.allowance.give_for_bytes(size)


class Exchange:
    """``there`` is the request's way, ``back`` the answer's. ``reset`` says how its stream inside is to end, when the
    server asked for no more of the request than it has.
    """

    def __init__(self, inside: Http2Peer, inside_id: int, outside: Http2Peer, outside_id: int) -> None:
        self.there = Way(inside, inside_id, outside, outside_id)
        self.back = Way(outside, outside_id, inside, inside_id)
        self.reset: int | None = None

    def way_from(self, source: Http2Peer) -> Way:
        """Give the way that begins at one side."""
        return self.there if self.there.source is source else self.back

    def want_no_more(self, code: int) -> None:
        """Let the answer go on, and nothing of the request."""
        if not self.there.has_ended:
            self.reset = code
        self.there.abandon()

    @property
    def is_over(self) -> bool:
        """Whether both ways have come to their ends."""
        return self.there.is_done and self.back.is_done
