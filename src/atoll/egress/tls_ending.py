"""Ends TLS for the domains of secrets: a certificate of the sandbox's authority inside, verified TLS outside."""

import asyncio
import datetime as dt
import os
import socket
import ssl
from collections.abc import Collection, Mapping
from typing import Final

from atoll.egress.refusal import RefusedError
from atoll.egress.substitution import Substitution
from atoll.model.egress_decision import EgressReason
from atoll.vault.authority import Authority

HTTP_1: Final = "http/1.1"
HTTP_2: Final = "h2"

_PIECE_BYTES: Final = 128 * 1024
_CERTIFICATE_DAYS: Final = 30


class TlsEnding:
    """One sandbox's: its authority and what is put in the place of which placeholder, by domain."""

    def __init__(self, authority: Authority, values: Mapping[str, Mapping[str, str]], roots: "Roots") -> None:
        self._authority = authority
        self._roots = roots
        self._values = values
        self._substitutions = {domain: Substitution(of_domain) for domain, of_domain in values.items()}
        self._inside: dict[tuple[str, str], tuple[dt.datetime, ssl.SSLContext]] = {}

    def substitution_for(self, name: str) -> Substitution | None:
        """Give what is to be put into requests to a name; ``None`` when its TLS is not to be ended."""
        return self._substitutions.get(name)

    def values_for(self, name: str) -> Mapping[str, str]:
        """Give the values of placeholders in requests to a name, by the placeholders' names."""
        return self._values.get(name, {})

    async def meet(self, inside: socket.socket, name: str, protocol: str, timeout_s: float) -> "StreamWire":
        """Be the name's server to a sandbox's program, in one protocol; takes the socket over.

        Raises ``RefusedError``.
        """
        reader = asyncio.StreamReader()
        stream = asyncio.StreamReaderProtocol(reader)
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: stream, inside, ssl=self._context(name, protocol), ssl_handshake_timeout=timeout_s
            )
        except (OSError, TimeoutError):
            inside.close()
            raise RefusedError(EgressReason.TLS_FAILED) from None
        return StreamWire(reader, asyncio.StreamWriter(transport, stream, reader, loop))

    async def reach(
        self, outside: socket.socket, name: str, offers: Collection[str], timeout_s: float
    ) -> tuple["StreamWire", str]:
        """Speak verified TLS to the real server, and give which of the protocols in ``offers``; takes the socket over.

        Raises ``RefusedError``.
        """
        try:
            reader, writer = await asyncio.open_connection(
                sock=outside, ssl=self._roots.context(offers), server_hostname=name, ssl_handshake_timeout=timeout_s
            )
        except (OSError, TimeoutError):
            outside.close()
            raise RefusedError(EgressReason.TLS_FAILED) from None
        protocol = writer.get_extra_info("ssl_object").selected_alpn_protocol() or HTTP_1
        wire = StreamWire(reader, writer)
        if protocol not in offers:
            wire.close()
            raise RefusedError(EgressReason.TLS_FAILED)
        return wire, protocol

    def _context(self, name: str, protocol: str) -> ssl.SSLContext:
        now = dt.datetime.now(dt.UTC)
        made_at, context = self._inside.get((name, protocol), (None, None))
        if made_at is None or context is None or now - made_at > dt.timedelta(days=_CERTIFICATE_DAYS):
            context = _server_context(self._authority.issue(name, now), protocol)
            self._inside[name, protocol] = (now, context)
        return context


class StreamWire:
    """A connection with TLS on it, for the HTTP relay."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """Give what has come."""
        return await self._reader.read(_PIECE_BYTES)

    async def write(self, data: bytes) -> None:
        """Write all, waiting while the other side does not read."""
        self._writer.write(data)
        await self._writer.drain()

    def end(self) -> None:
        """TLS has no half of a connection to end: say that all is over."""
        self._writer.close()

    def close(self) -> None:
        """Hang up, once what was written has gone."""
        self._writer.close()

    def abort(self) -> None:
        """Hang up now."""
        self._writer.transport.abort()


class Roots:
    """The client's side of TLS, with the machine's roots or the operator's."""

    def __init__(self, pem: str | None) -> None:
        """Raise ``ssl.SSLError`` for a ``pem`` that has none."""
        self._any, self._first = (ssl.create_default_context(cadata=pem) for _ in range(2))
        self._any.set_alpn_protocols([HTTP_2, HTTP_1])
        self._first.set_alpn_protocols([HTTP_1])

    def context(self, offers: Collection[str]) -> ssl.SSLContext:
        """Give what offers some protocols to a server."""
        return self._any if HTTP_2 in offers else self._first


def offers_of(protocols: Collection[bytes]) -> Collection[str]:
    """Give what of a client's protocols can be spoken here; one that names none speaks HTTP/1.1."""
    known = {one for one in (HTTP_2, HTTP_1) if one.encode() in protocols}
    return known or {HTTP_1}


def _server_context(pem: bytes, protocol: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([protocol])
    # A file that only this process has, for as long as it takes to read it: OpenSSL takes nothing else.
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context
