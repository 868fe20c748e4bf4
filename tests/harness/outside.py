"""The world outside of containers, on loopback addresses of this machine: a name server, and servers with names.

Every address is in a /24 of its own below 127.0.0.0/8, so that several test runs can use ports 80 and 443 at once.
"""

import contextlib
import datetime as dt
import http.server
import secrets
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Any, Final

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.harness.http2_web import Asked, serve_http2

_DAY: Final = dt.timedelta(days=1)
_USAGE_OF_AUTHORITIES: Final = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
_PATTERN: Final = bytes(range(256)) * 256


class Names:
    """A name server over UDP. ``addresses`` may be changed at any time; a function is asked anew for each query."""

    def __init__(self, address: str) -> None:
        self.addresses: dict[str, list[str] | Callable[[], list[str]]] = {}
        self.asked: list[str] = []
        self.ttl_s = 0
        names = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                packet, sock = self.request
                sock.sendto(names.answer(packet), self.client_address)

        self._server = socketserver.ThreadingUDPServer((address, 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def answer(self, packet: bytes) -> bytes:
        """Give the answer to a query."""
        query = dns.message.from_wire(packet)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        self.asked.append(name)
        found = self.addresses.get(name)
        reply = dns.message.make_response(query)
        if found is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
            return reply.to_wire()
        version = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 6}.get(question.rdtype, 0)
        texts = [text for text in (found() if callable(found) else found) if ip_address(text).version == version]
        if texts:
            reply.answer.append(dns.rrset.from_text(question.name, self.ttl_s, "IN", question.rdtype, *texts))
        return reply.to_wire()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Authority:
    """Makes certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Atoll's tests")])
        own = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_USAGE_OF_AUTHORITIES, critical=True)
        )
        self.pem = own.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def context(self, *names: str, protocols: tuple[str, ...] = ("http/1.1",)) -> ssl.SSLContext:
        """Give a server's side of TLS for some names."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        certificate = (
            self._builder(subject, key.public_key())
            .add_extension(alternatives, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        path = self.folder / f"{secrets.token_hex(8)}.pem"
        path.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        context.set_alpn_protocols(list(protocols))
        return context

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )


@dataclass
class Seen:
    """A request that a server got."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    protocol: str = "http/1.1"


class WebServer:
    """Serves HTTP at an address, over TLS with a ``context``. ``seen`` are the requests that came.

    What is in ``files`` is given by its path. ``/bytes/N`` gives N bytes, ``/slow`` an answer that never ends,
    ``/echo`` a WebSocket that gives every byte back, anything else what was asked for.
    """

    def __init__(self, address: str, port: int, context: ssl.SSLContext | None = None) -> None:
        self.seen: list[Seen] = []
        self.files: dict[str, bytes] = {}
        self.connections = 0
        self.ended = threading.Event()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                server.connections += 1
                if context is not None:
                    self.request.settimeout(10)
                    self.request = context.wrap_socket(self.request, server_side=True)
                super().setup()

            def handle(self) -> None:
                if isinstance(self.request, ssl.SSLSocket) and self.request.selected_alpn_protocol() == "h2":
                    serve_http2(self.request, server.answer_http2)
                else:
                    super().handle()

            def finish(self) -> None:
                super().finish()
                self.request.close()

            def do(self) -> None:
                server.answer(self)

            do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = do  # noqa: N815 - as the standard library calls them

            def log_message(self, *_: Any) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None:
                pass  # clients that break off are what some tests are about

        self._server = Server((address, port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        body = _body(request)
        self.seen.append(Seen(request.command, request.path, dict(request.headers.items()), body))
        if request.path == "/echo":
            self._echo(request)
            return
        if request.path in self.files:
            self._send(request, self.files[request.path])
            return
        if request.path.startswith("/bytes/"):
            self._send_bytes(request, int(request.path.removeprefix("/bytes/")))
            return
        if request.path == "/slow":
            self._send_slowly(request)
            return
        self._send(request, f"{request.command} {request.path} {len(body)}\n".encode())

    def answer_http2(self, asked: Asked) -> bytes | int:
        """Answer one request."""
        self.seen.append(Seen(asked.method, asked.path, asked.headers, bytes(asked.body), "h2"))
        if asked.path in self.files:
            return self.files[asked.path]
        if asked.path.startswith("/bytes/"):
            return int(asked.path.removeprefix("/bytes/"))
        return f"{asked.method} {asked.path} {len(asked.body)}\n".encode()

    def _send(self, request: http.server.BaseHTTPRequestHandler, content: bytes) -> None:
        request.send_response(200)
        if request.path.endswith("/"):
            request.send_header("content-type", "text/html")
        request.send_header("content-length", str(len(content)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content)

    def _echo(self, request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(101)
        request.send_header("connection", "upgrade")
        request.send_header("upgrade", "websocket")
        request.end_headers()
        while data := request.connection.recv(65536):
            request.connection.sendall(data)
        request.close_connection = True

    def _send_bytes(self, request: http.server.BaseHTTPRequestHandler, size: int) -> None:
        request.send_response(200)
        request.send_header("content-length", str(size))
        request.end_headers()
        while size > 0:
            request.wfile.write(_PATTERN[:size])
            size -= len(_PATTERN)

    def _send_slowly(self, request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("content-length", "1000000")
        request.end_headers()
        request.wfile.write(b"begun\n")
        request.wfile.flush()
        # Whoever reads hangs up, or is cut off: either way it ends here.
        with contextlib.suppress(OSError):
            request.connection.settimeout(60)
            request.connection.recv(1)
        self.ended.set()
        request.close_connection = True

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Trap:
    """A listener that nobody is to reach: ``caught`` counts who did. TCP and UDP on one port."""

    def __init__(self, address: str, port: int) -> None:
        self.address = address
        self.port = port
        self.caught = 0
        self._streams = socket.create_server((address, port), reuse_port=False)
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagrams.bind((address, port))
        self._threads = [threading.Thread(target=self._accept), threading.Thread(target=self._receive)]
        for thread in self._threads:
            thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._streams.accept()
                self.caught += 1
                peer.close()

    def _receive(self) -> None:
        with contextlib.suppress(OSError):
            while self._datagrams.recv(2048):
                self.caught += 1

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):
            self._streams.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._datagrams.shutdown(socket.SHUT_RDWR)
        self._streams.close()
        self._datagrams.close()
        for thread in self._threads:
            thread.join(5)


@dataclass
class Outside:
    """The world. Addresses end in the number that they are asked for by."""

    network: str
    names: Names
    authority: Authority
    _closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def settings(self) -> dict[str, object]:
        """What makes a server take this for the world."""
        return {
            "dangerous_egress_resolver": f"{self.address(53)}:{self.names.port}",
            "dangerous_egress_public": f"{self.address(0)}/25",
        }

    def address(self, number: int) -> str:
        """Give an address. Those from 128 on do not count as public."""
        return str(IPv4Address(self.network) + number)

    def web(self, number: int, *names: str, port: int = 80) -> WebServer:
        """Start a web server without TLS that is known by some names."""
        self._name(number, names)
        return self._own(WebServer(self.address(number), port))

    def secure_web(
        self, number: int, *names: str, port: int = 443, protocols: tuple[str, ...] = ("http/1.1",)
    ) -> WebServer:
        """Start one with TLS."""
        self._name(number, names)
        return self._own(WebServer(self.address(number), port, self.authority.context(*names, protocols=protocols)))

    def trap(self, number: int, port: int) -> Trap:
        """Set a trap."""
        trap = Trap(self.address(number), port)
        self._closing.callback(trap.close)
        return trap

    def _name(self, number: int, names: tuple[str, ...]) -> None:
        for name in names:
            self.names.addresses[name] = [self.address(number)]

    def _own(self, server: WebServer) -> WebServer:
        self._closing.callback(server.close)
        return server

    def close(self) -> None:
        """End all of it."""
        self._closing.close()
        self.names.close()


def _body(request: http.server.BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("transfer-encoding", "").lower() != "chunked":
        return request.rfile.read(int(request.headers.get("content-length", 0)))
    body = b""
    while size := int(request.rfile.readline(), 16):
        body += request.rfile.read(size)
        request.rfile.readline()
    request.rfile.readline()
    return body


@contextlib.contextmanager
def outside_world(folder: Path) -> Iterator[Outside]:
    """Make a world on a network of its own."""
    second, third = struct.unpack("BB", secrets.token_bytes(2))
    network = f"127.{64 + second % 60}.{third}.0"
    world = Outside(network, Names(str(IPv4Address(network) + 53)), Authority(folder))
    try:
        yield world
    finally:
        world.close()
