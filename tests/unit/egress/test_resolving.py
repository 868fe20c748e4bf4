"""Names looked up: what is remembered, how long, and what is not."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest

from atoll.egress.resolving import NotResolvedError, Resolver
from tests.harness.outside import Names

NAME = "name.example.test"


@pytest.fixture
def names() -> Iterator[Names]:
    """Give a name server on loopback."""
    server = Names("127.0.0.1")
    try:
        yield server
    finally:
        server.close()


def resolver_of(names: Names) -> Resolver:
    return Resolver(5.0, ("127.0.0.1", names.port))


async def test_both_kinds_of_addresses_ipv4_first(names: Names) -> None:
    names.addresses[NAME] = ["2001:db8::1", "192.0.2.1"]
    assert await resolver_of(names).addresses_of(NAME) == [IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1")]


async def test_an_answer_is_remembered_as_long_as_it_says(names: Names) -> None:
    names.ttl_s = 300
    names.addresses[NAME] = ["192.0.2.1"]
    resolver = resolver_of(names)
    first = await resolver.addresses_of(NAME)
    asked = len(names.asked)
    names.addresses[NAME] = ["192.0.2.2"]
    assert await resolver.addresses_of(NAME) == first
    assert len(names.asked) == asked


async def test_an_answer_for_now_alone_is_asked_for_again(names: Names) -> None:
    names.addresses[NAME] = ["192.0.2.1"]
    resolver = resolver_of(names)
    await resolver.addresses_of(NAME)
    names.addresses[NAME] = ["192.0.2.2"]
    assert await resolver.addresses_of(NAME) == [IPv4Address("192.0.2.2")]


async def test_a_name_that_is_not_there(names: Names) -> None:
    resolver = resolver_of(names)
    with pytest.raises(NotResolvedError):
        await resolver.addresses_of(NAME)
    names.addresses[NAME] = []  # there, with no address
    with pytest.raises(NotResolvedError):
        await resolver.addresses_of(NAME)


async def test_no_answer_is_remembered_beyond_its_first_addresses(names: Names) -> None:
    names.ttl_s = 300
    names.addresses[NAME] = [f"192.0.2.{number}" for number in range(1, 100)]
    resolver = resolver_of(names)
    assert len(await resolver.addresses_of(NAME)) == 16
    assert resolver._asking.cache is None  # which would keep all of it
