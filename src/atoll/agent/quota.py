"""How much output an agent may still send: the host's own count beside the agent's."""

from typing import Final

from atoll.agent.errors import AgentMisbehavedError

# What an honest agent may add to a call's limit: the line that says how much was cut, characters rounded to bytes.
SLACK_BYTES: Final = 64 * 1024


class Quota:
    """Counts bytes down; a frame without any costs one, so that empty ones cannot go on for ever either."""

    def __init__(self, noun: str, bytes_max: int) -> None:
        self._noun = noun
        self._bytes_max = bytes_max
        self._bytes_left = bytes_max + SLACK_BYTES

    def take(self, length: int) -> None:
        """Count a frame. Raises ``AgentMisbehavedError`` when it is one too many."""
        self._bytes_left -= max(length, 1)
        if self._bytes_left < 0:
            raise AgentMisbehavedError(f"more {self._noun} than the {self._bytes_max} bytes that were allowed")
