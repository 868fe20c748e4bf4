"""From a call's events to its answer: all at once, or as a stream."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Generic, Protocol, TypeVar

import msgspec
from litestar.types import Receive, Scope, Send

from atoll.api.json_text import JsonPieces
from atoll.api.metrics import CallCount
from atoll.api.patient_send import send_body
from atoll.api.watch import while_connected
from atoll.service.answer_room import Share

E = TypeVar("E")
E_contra = TypeVar("E_contra", contravariant=True)
Item_co = TypeVar("Item_co", bound=msgspec.Struct, covariant=True)
Item = TypeVar("Item", bound=msgspec.Struct)


class Building(Protocol[E_contra, Item_co]):
    """An item in the making (``atoll.api.items``)."""

    @property
    def held_bytes(self) -> int:
        """How much of the call's output it holds."""
        ...

    def take(self, event: E_contra) -> Iterable[msgspec.Struct]:
        """Add an event, and give what a stream says about it."""
        ...

    def item(self) -> Item_co:
        """Give the item as it stands."""
        ...


class WholeAnswer(Generic[E, Item]):
    """An answer that begins when the call has ended; the client going away closes ``events``.

    What ``events`` raises becomes an ordinary error answer. ``share`` is let go of with the last byte.
    """

    def __init__(
        self, events: AsyncGenerator[E, None], building: Building[E, Item], share: Share, count: CallCount
    ) -> None:
        self._events = events
        self._building = building
        self._share = share
        self._count = count

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Run the call to its end and send its item. Raises what the call raised."""
        try:
            await while_connected(receive, self._take_all())
            pieces = JsonPieces(self._building.item())
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % pieces.length)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            left = pieces.length
            for piece in pieces:
                left -= len(piece)
                await send_body(send, piece, more=left > 0)
        finally:
            self._share.release()

    async def _take_all(self) -> None:
        with self._count:
            try:
                async for event in self._events:
                    self._count.take(event)
                    self._building.take(event)
                    self._share.hold(self._building.held_bytes)
            finally:
                await self._events.aclose()


async def as_stream(
    events: AsyncGenerator[E, None], building: Building[E, Item], share: Share, count: CallCount
) -> AsyncGenerator[msgspec.Struct, None]:
    """Give a call's stream events."""
    with count:
        async with aclosing(events):
            async for event in events:
                count.take(event)
                said = building.take(event)
                share.hold(building.held_bytes)
                for one in said:
                    yield one
