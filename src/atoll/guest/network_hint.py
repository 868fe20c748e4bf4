"""Notices in a call's output that something looked for the network, so that the call can say why there is none."""

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
        self.seen = any(sign in window for sign in _SIGNS)
        self._end = window[-_LONGEST:]
