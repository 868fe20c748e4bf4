"""Asks the agent of a new sandbox to warm its Python, before anybody has the sandbox."""

import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import Final

from atoll.guest.protocol import FrameType, encode_json

_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.2
_ANSWER_BYTES_MAX: Final = 64 << 10


class NotWarmError(Exception):
    """The agent did not answer, or not in time."""


def warm(agent: socket.socket, modules: Sequence[str], must_stop: Callable[[], bool]) -> None:
    """Ask, and wait until the agent has answered and hung up; what it says is dropped unread.

    Raises ``NotWarmError``, also once ``must_stop`` says so.
    """
    agent.settimeout(_TIMEOUT_S)
    deadline = time.monotonic() + _TIMEOUT_S
    count = 0
    try:
        agent.sendall(encode_json(FrameType.REQUEST, {"op": "warm", "modules": list(modules)}))
        poll = select.poll()
        poll.register(agent, select.POLLIN)
        while time.monotonic() < deadline and count < _ANSWER_BYTES_MAX and not must_stop():
            if poll.poll(_POLL_S * 1000):
                size = len(agent.recv(4096))
                count += size
                if size == 0 and count > 0:
                    return
                if size == 0:
                    break
    except OSError as error:
        raise NotWarmError(f"the agent is gone: {error}") from error
    raise NotWarmError("the agent did not answer as it should")
