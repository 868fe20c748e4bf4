"""Connections to the outside: at addresses that were looked at, and the next one when one does not answer."""

import socket
from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from atoll.egress.buffers import LARGE_BYTES
from atoll.egress.dialling import Dialler
from atoll.egress.public_addresses import Network
from atoll.egress.refusal import RefusedError
from atoll.egress.resolving import Resolver
from atoll.model.egress_decision import EgressReason
from tests.harness.outside import Names

NAME = "name.example.test"
LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture
def names() -> Iterator[Names]:
    """Give a name server on loopback."""
    server = Names("127.0.0.1")
    try:
        yield server
    finally:
        server.close()


def dialler(names: Names, also_public: tuple[Network, ...] = LOOPBACK) -> Dialler:
    return Dialler(Resolver(5.0, ("127.0.0.1", names.port)), also_public, 5.0)


async def test_an_address_that_refuses_is_passed_over(names: Names) -> None:
    with socket.create_server(("127.0.0.2", 0)) as listener:
        names.addresses[NAME] = ["127.0.0.1", "127.0.0.2"]
        with await dialler(names).dial(NAME, listener.getsockname()[1]) as sock:
            assert sock.getpeername() == listener.getsockname()
            assert not sock.getblocking()
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):  # it has a bound, so it does not grow by itself
                assert 0 < sock.getsockopt(socket.SOL_SOCKET, option) <= 2 * LARGE_BYTES


async def test_nobody_answers(names: Names) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        names.addresses[NAME] = ["127.0.0.1"]
        with pytest.raises(RefusedError) as refused:
            await dialler(names).dial(NAME, taken.getsockname()[1])
    assert refused.value.reason is EgressReason.NOT_REACHED


async def test_an_address_that_is_not_public_is_not_dialled(names: Names) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        names.addresses[NAME] = ["127.0.0.1"]
        with pytest.raises(RefusedError) as refused:
            await dialler(names, ()).dial(NAME, listener.getsockname()[1])
        assert refused.value.reason is EgressReason.NOT_PUBLIC
        with pytest.raises(BlockingIOError):
            listener.accept()
