"""Addresses that stand for names."""

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from atoll.egress.address_pool import AddressPool, ipv4, ipv6


def test_an_address_stands_for_its_name() -> None:
    pool = AddressPool()
    number = pool.number_of("example.com")
    assert pool.number_of("example.com") == number
    assert pool.name_at(ipv4(number)) == "example.com"
    assert pool.name_at(ipv6(number)) == "example.com"
    assert ipv4(number) in ip_network("198.18.0.0/15")


def test_an_address_that_was_not_given_out_stands_for_nothing() -> None:
    pool = AddressPool()
    pool.number_of("example.com")
    for text in ("198.18.0.0", "198.18.0.1", "8.8.8.8", "127.0.0.1", "::1", "fd61:746f:6c6c::1", "255.255.255.255"):
        assert pool.name_at(ip_address(text)) is None


def test_the_oldest_name_is_forgotten_and_its_address_with_it() -> None:
    pool = AddressPool(names_max=2)
    first = pool.number_of("a")
    pool.number_of("b")
    pool.number_of("a")
    pool.number_of("c")  # forgets b, which was asked for longest ago
    assert pool.name_at(ipv4(first)) == "a"
    assert pool.number_of("b") != first


@given(st.lists(st.sampled_from([f"n{number}" for number in range(12)]), max_size=60))
def test_no_two_names_share_an_address(names: list[str]) -> None:
    pool = AddressPool(names_max=5)
    given_out: dict[int, str] = {}
    for name in names:
        number = pool.number_of(name)
        assert given_out.setdefault(number, name) == name  # nor does an address come back that soon
        assert pool.name_at(ipv4(number)) == name
