"""Notices in a call's output that something looked for the network, so that the call can say why there is none."""

import socket
from typing import Final

NETWORK_HINT: Final = '[atoll] This container has no network access: its network_policy is "disabled".'

_SIGNS: Final = (
    b"Temporary failure in name resolution",
    b"Temporary failure resolving",
    b"Could not resolve host",
    b"Name or service not known",
    b"unable to resolve host address",
    b"getaddrinfo EAI_AGAIN",
    b"Network is unreachable",
)
_ADDRESS_WITH_WAY_OUT: Final = "198.18.0.1"
_LONGEST: Final = max(len(sign) for sign in _SIGNS)


class NetworkHint:
    """Reads along; remembers no more than the length of the longest sign."""

    def __init__(self, *, enabled: bool) -> None:
        self.seen = False
        self._enabled = enabled
        self._end = b""

    def read(self, data: bytes) -> None:
        """Look at the next piece of output."""
        if self.seen or not self._enabled:
            return
        window = self._end + data
        self.seen = any(sign in window for sign in _SIGNS) and not _is_let_out()
        self._end = window[-_LONGEST:]


def _is_let_out() -> bool:
    """Tell whether there is a way out, by the address that it brings: then the host tells what was refused."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((_ADDRESS_WITH_WAY_OUT, 0))
        except OSError:
            return False
    return True
