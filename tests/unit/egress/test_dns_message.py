"""DNS messages: what others write is read, what is written others read, and nothing else is raised or taken."""

import itertools
from ipaddress import IPv4Address, IPv6Address

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.egress import dns_message
from atoll.egress.dns_message import DnsError, parse_query


def query(name: str = "Example.COM", kind: str = "A") -> bytes:
    return dns.message.make_query(name, kind, use_edns=True).to_wire()


def test_a_query_is_read() -> None:
    read = parse_query(query())
    assert (read.name, read.type, read.dns_class) == ("example.com", 1, 1)


@pytest.mark.parametrize("kind", ["A", "AAAA"])
def test_an_answer_is_read_by_others(kind: str) -> None:
    asked = query(kind=kind)
    address = IPv4Address("198.18.1.2") if kind == "A" else IPv6Address("fd61:746f:6c6c::1")
    answer = dns.message.from_wire(dns_message.answer(parse_query(asked), [address], 60))
    assert dns.message.from_wire(asked).is_response(answer)
    assert [str(record) for record in answer.answer[0]] == [str(address)]
    assert answer.answer[0].ttl == 60
    assert answer.answer[0].name.to_text() == "Example.COM."  # as it was asked: resolvers mix cases on purpose


def test_a_name_that_is_not_there() -> None:
    answer = dns.message.from_wire(dns_message.no_such_name(parse_query(query())))
    assert answer.rcode() == dns.rcode.NXDOMAIN
    assert not answer.answer


def test_a_failure() -> None:
    assert dns.message.from_wire(dns_message.failure(parse_query(query()))).rcode() == dns.rcode.SERVFAIL


@pytest.mark.parametrize("label", [b"exam.ple", b"example\0", b"ex\xffmple", b"*", b"a b", b"a\\b"])
def test_odd_labels_never_look_like_plain_ones(label: bytes) -> None:
    packet = query()[:12] + bytes([len(label)]) + label + b"\3com\0" + b"\0\1\0\1"
    name = parse_query(packet).name
    assert "\\" in name
    assert name.count(".") == 1


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        query()[:11],
        query()[:20],
        dns.message.make_response(dns.message.from_wire(query())).to_wire(),
        query()[:4] + b"\0\2" + query()[6:],  # two questions
        query()[:4] + b"\0\0" + query()[6:],  # none
        query()[:12] + b"\xc0\x0c\0\1\0\1",  # a pointer, to itself
        query()[:12] + b"\x40" + b"a" * 64 + b"\0\0\1\0\1",
        query()[:12] + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1",  # longer than a name can be
        query() + b"\0" * dns_message.QUERY_BYTES_MAX,
        query()[:2] + b"\x28\0" + query()[4:],  # an update
    ],
    ids=itertools.count(),  # every query has another number
)
def test_what_is_no_query(packet: bytes) -> None:
    with pytest.raises(DnsError):
        parse_query(packet)


def test_the_longest_name() -> None:
    labels = b"\x3f" + b"a" * 63
    longest = labels * 3 + b"\x3d" + b"a" * 61 + b"\0"
    assert len(longest) == 255
    assert len(parse_query(query()[:12] + longest + b"\0\1\0\1").name) == 253
    with pytest.raises(DnsError):
        parse_query(query()[:12] + labels * 3 + b"\x3e" + b"a" * 62 + b"\0\0\1\0\1")


@given(st.binary(max_size=600))
def test_any_bytes_are_a_query_or_an_error(packet: bytes) -> None:
    try:
        read = parse_query(packet)
    except DnsError:
        return
    assert len(read.name) <= 4 * 255
    assert read.question in packet


@given(st.data())
def test_a_damaged_query_is_a_query_or_an_error(data: st.DataObject) -> None:
    packet = bytearray(query("a.long-name.example.com"))
    for _ in range(data.draw(st.integers(0, 4))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    try:
        parse_query(bytes(packet[: data.draw(st.integers(0, len(packet)))]))
    except DnsError:
        return
