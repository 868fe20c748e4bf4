"""The port: taken by the launcher, so that it stays ours while the server is started again."""

import errno
import socket
from typing import Final

_BACKLOG: Final = 2048
_QUIET_S: Final = 60
_PROBE_EVERY_S: Final = 15
_PROBES: Final = 4


class PortError(Exception):
    """The address cannot be listened on; the message says why and what to do."""


def listen(host: str, port: int) -> socket.socket:
    """Give a listening socket. Raises ``PortError``."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise PortError(f"The host {host!r} is no address of this machine: {error.strerror}.") from error
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        _lose_the_vanished(listening)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise PortError(_explain(host, port, error)) from error
    return listening


def _lose_the_vanished(listening: socket.socket) -> None:
    """Have the kernel end connections, which inherit this, of clients that are not there any more.

    Not by ``TCP_USER_TIMEOUT``: it also ends those of clients that read so slowly that their windows never open wide.
    """
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _QUIET_S)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_EVERY_S)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)


def _explain(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is in use by another program. Choose another with --port."
    if error.errno == errno.EACCES:
        return f"Port {port} may only be taken by root. Choose another with --port."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"The host {host!r} is no address of this machine. Choose another with --host."
    return f"Cannot listen on {host} port {port}: {error.strerror}."


def reachable_address(listening: socket.socket) -> tuple[str, int]:
    """Give host and port at which a program on this machine reaches the socket."""
    host, port = listening.getsockname()[:2]
    return reachable_host(host), port


def reachable_host(host: str) -> str:
    """Give the host by which a program on this machine reaches who listens on one."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound


def base_url(address: tuple[str, int]) -> str:
    """Write the API's base URL for an address."""
    host, port = address
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"
