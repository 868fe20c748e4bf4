"""TLS hellos: those that real clients send are read, wherever they are cut, and nothing else is raised."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.egress.tls_hello import HELLO_BYTES_MAX, Hello, HelloError, read_hello


def hello(name: str | None = "Example.com", protocols: tuple[str, ...] = ("h2", "http/1.1")) -> bytes:
    """Give what OpenSSL sends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    outgoing = ssl.MemoryBIO()
    connection = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


def message(extensions: bytes) -> bytes:
    """Give a hello with extensions of one's own."""
    body = b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0" + len(extensions).to_bytes(2, "big") + extensions
    handshake = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\3\1" + len(handshake).to_bytes(2, "big") + handshake


def extension(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2, "big") + len(content).to_bytes(2, "big") + content


def server_name(name: bytes, kind: int = 0) -> bytes:
    entry = bytes([kind]) + len(name).to_bytes(2, "big") + name
    return extension(0, len(entry).to_bytes(2, "big") + entry)


def test_a_real_hello() -> None:
    assert read_hello(hello()) == Hello(
        server_name="Example.com", protocols=(b"h2", b"http/1.1"), has_encrypted_hello=False
    )


def test_a_hello_that_names_nobody() -> None:
    read = read_hello(hello(None, ()))
    assert read == Hello(server_name=None, protocols=(), has_encrypted_hello=False)


@pytest.mark.parametrize("kind", [0xFE0D, 0xFFCE])
def test_an_encrypted_hello_is_seen(kind: int) -> None:
    read = read_hello(message(server_name(b"example.com") + extension(kind, b"anything")))
    assert read is not None
    assert read.has_encrypted_hello


def test_less_than_a_hello_is_not_there_yet() -> None:
    whole = hello()
    assert all(read_hello(whole[:size]) is None for size in range(len(whole)))
    assert read_hello(whole + b"what comes after") == read_hello(whole)


def test_a_hello_in_small_records() -> None:
    handshake = hello()[5:]
    pieces = [handshake[at : at + 7] for at in range(0, len(handshake), 7)]
    records = b"".join(b"\x16\3\1" + len(piece).to_bytes(2, "big") + piece for piece in pieces)
    assert read_hello(records) == read_hello(hello())
    assert all(read_hello(records[:size]) is None for size in range(len(records)))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x80\x2e\1\0\2",  # SSL 2
        b"\x16\2\0\0\5",
        b"\x16\3\1\0\0",  # an empty record
        b"\x16\3\1\xff\xff",
        b"\x16\3\1\0\4\2\0\0\0",  # a server's hello
        b"\x17" + hello()[1:],
        message(server_name(b"a.example") + server_name(b"b.example")),
        message(server_name(b"a.example", kind=1)),
        message(server_name(b"\xff.example")),
        message(extension(0, b"\0\0")),
        message(extension(0, b"\0\x0e\0\0\4a.ex\0\0\4b.ex")),  # two names
        message(extension(0, b"\0\7\0\0\4a.ex" + b"more")),
        message(extension(16, b"\0\5\4h2")),
        message(server_name(b"a.example") + b"\0"),
        message(b"")[:-1] + b"\1",
        b"\x16\3\1\x40\0\1\0\x40\1" + bytes(HELLO_BYTES_MAX),
    ],
)
def test_what_is_no_hello(data: bytes) -> None:
    with pytest.raises(HelloError):
        read_hello(data)


def test_no_more_than_the_limit_is_waited_for() -> None:
    endless = (
        b"\x16\3\1\0\1\1" + b"\x16\3\1\0\1\0" + b"\x16\3\1\0\1\x3f" + b"\x16\3\1\0\1\xff"
    ) + b"\x16\3\1\0\1a" * 4000
    with pytest.raises(HelloError):
        read_hello(endless[:HELLO_BYTES_MAX])


@given(st.binary(max_size=400))
def test_any_bytes_are_a_hello_or_an_error(data: bytes) -> None:
    try:
        read_hello(data)
    except HelloError:
        return


@given(st.binary(max_size=300))
def test_any_extensions_are_a_hello_or_an_error(data: bytes) -> None:
    try:
        read = read_hello(message(data))
    except HelloError:
        return
    assert read is not None


@given(st.data())
def test_a_damaged_hello_is_a_hello_or_an_error(data: st.DataObject) -> None:
    packet = bytearray(hello())
    for _ in range(data.draw(st.integers(1, 4))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_hello(bytes(packet))
    except HelloError:
        return
