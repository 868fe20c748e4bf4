"""How a conversation with an agent fails, named by whose fault it is.

What ``dial`` raises (``atoll.runtime.contract``) passes through the client unchanged and is none of these.
"""


class AgentError(Exception):
    """Base of what the client raises about an agent."""


class AgentGoneError(AgentError):
    """The connection ended before the answer did: the agent died or its sandbox was stopped."""


class AgentMisbehavedError(AgentError):
    """The agent broke the protocol: its word is worth nothing any more, the sandbox should be stopped."""


class AgentOverdueError(AgentMisbehavedError):
    """The agent did not answer, or made no progress, within the time that an honest one needs."""


class AgentRefusedError(AgentError):
    """An honest "no": ``code`` is one of the protocol's ``FAILURE_CODES``, ``message`` is printable and short.

    ``field`` of the request, as the client sent it, is what was wrong, where the agent names one.
    """

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.field = field
