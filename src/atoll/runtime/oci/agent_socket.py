"""The Unix socket between host and agent: made outside, inherited by the agent, its path known to root only."""

import errno
import socket
from pathlib import Path
from typing import Final

from atoll.runtime.oci.unix_address import short_address

_BACKLOG: Final = 128


class AgentNotListeningError(Exception):
    """Nobody holds the listening end any more."""


class AgentBusyError(Exception):
    """The agent does not take connections up as fast as they come."""


def listen(path: Path) -> socket.socket:
    """Give a listening socket at ``path``, in place of one that was there. Raises ``OSError``."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_address(path) as address:
            listener.bind(address)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def connect(path: Path) -> socket.socket:
    """Give a socket connected to the agent that listens at ``path``, without waiting for the agent to take it up.

    Raises ``AgentNotListeningError``, ``AgentBusyError``.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        with short_address(path) as address:
            connection.connect(address)
    except OSError as error:
        connection.close()
        if error.errno == errno.EAGAIN:
            raise AgentBusyError from error
        raise AgentNotListeningError from error
    return connection
