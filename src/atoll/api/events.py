"""From a call's events to its answer: all at once, or as a stream."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Protocol, TypeVar

import msgspec
from litestar.types import Receive

from atoll.api.watch import while_connected

E = TypeVar("E")
E_contra = TypeVar("E_contra", contravariant=True)
Item_co = TypeVar("Item_co", bound=msgspec.Struct, covariant=True)
Item = TypeVar("Item", bound=msgspec.Struct)


class Building(Protocol[E_contra, Item_co]):
    """An item in the making (``atoll.api.items``)."""

    def take(self, event: E_contra) -> Iterable[msgspec.Struct]:
        """Add an event, and give what a stream says about it."""
        ...

    def item(self) -> Item_co:
        """Give the item as it stands."""
        ...


async def whole(receive: Receive, events: AsyncGenerator[E, None], building: Building[E, Item]) -> Item:
    """Run a call to its end and give its item; the client going away closes ``events``."""
    await while_connected(receive, _take_all(events, building))
    return building.item()


async def as_stream(
    events: AsyncGenerator[E, None], building: Building[E, Item]
) -> AsyncGenerator[msgspec.Struct, None]:
    """Give a call's stream events."""
    async with aclosing(events):
        async for event in events:
            for said in building.take(event):
                yield said


async def _take_all(events: AsyncGenerator[E, None], building: Building[E, Item]) -> None:
    async with aclosing(events):
        async for event in events:
            building.take(event)
