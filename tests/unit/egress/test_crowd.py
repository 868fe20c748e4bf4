"""The last connections of all are for those who have few; and a gate holds to that."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable

from atoll.egress.allowlist import Allowlist
from atoll.egress.audit import Audit
from atoll.egress.bounds import Bounds
from atoll.egress.crowd import FEW, Crowd
from atoll.egress.dialling import Dialler
from atoll.egress.gate import Gate, House, Passage
from atoll.egress.resolving import Resolver
from atoll.model.ids import SandboxId


def test_who_has_few_gets_more() -> None:
    crowd = Crowd(descriptors_max=3200)
    for _ in range(299):
        crowd.enter()
    assert crowd.has_room(299)
    crowd.enter()
    assert not crowd.has_room(FEW)
    assert crowd.has_room(FEW - 1)
    crowd.leave()
    assert crowd.has_room(FEW)


async def test_one_that_has_many_connections_leaves_some_to_others() -> None:
    house = House(
        bounds=Bounds(),
        dialler=Dialler(Resolver(1.0, ("127.0.0.1", 9)), (), 1.0),
        audit=Audit(lambda _: None, time.time),
        crowd=Crowd(descriptors_max=8 * 2 * FEW),
        clock=time.monotonic,
    )
    with contextlib.ExitStack() as opened:
        greedy, other = (_gate(house, opened, name) for name in ("sbx_1", "sbx_2"))
        for _ in range(4 * FEW):
            _connect(greedy, opened)
        await _until(lambda: greedy[0].connections >= FEW)
        _connect(other, opened)
        await _until(lambda: other[0].connections == 1)
        assert greedy[0].connections < 4 * FEW


def _gate(house: House, opened: contextlib.ExitStack, name: str) -> tuple[Gate, socket.socket]:
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    listeners = [socket.create_server(("127.0.0.1", 0), backlog=128) for _ in range(2)]
    for sock in (datagrams, *listeners):
        sock.setblocking(False)
    # The first listener's connections are queries over TCP, which last until somebody ends them.
    gate = Gate(SandboxId(name), "1", Passage(Allowlist(())), (datagrams, *listeners), house)
    opened.callback(gate.close)
    return gate, listeners[0]


def _connect(gate: tuple[Gate, socket.socket], opened: contextlib.ExitStack) -> None:
    opened.enter_context(socket.create_connection(gate[1].getsockname()))


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - a gate tells nobody
            await asyncio.sleep(0.01)
