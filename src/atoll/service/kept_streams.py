"""Connections to agents that are kept from one call to the next, because dialling takes as long as a small call."""

from collections import OrderedDict
from typing import Final

from atoll.model.ids import SandboxId
from atoll.runtime.contract import Stream

STREAMS_MAX: Final = 256


class KeptStreams:
    """At most one for each sandbox, and ``streams_max`` together: the one unused for longest gives way."""

    def __init__(self, streams_max: int = STREAMS_MAX) -> None:
        self._streams_max = streams_max
        self._streams: OrderedDict[SandboxId, Stream] = OrderedDict()

    async def take(self, sandbox_id: SandboxId) -> Stream | None:
        """Give the sandbox's stream to its next user, if there is one that is still quiet.

        An agent that died has closed it, and one that went on talking is not to be trusted.
        """
        stream = self._streams.pop(sandbox_id, None)
        if stream is None or stream.is_quiet():
            return stream
        await stream.aclose()
        return None

    async def put(self, sandbox_id: SandboxId, stream: Stream) -> None:
        """Keep a stream on which nothing is going on."""
        await self.drop(sandbox_id)
        self._streams[sandbox_id] = stream
        if len(self._streams) > self._streams_max:
            _, oldest = self._streams.popitem(last=False)
            await oldest.aclose()

    async def drop(self, sandbox_id: SandboxId) -> None:
        """Hang up on a sandbox that will not be called any more."""
        stream = self._streams.pop(sandbox_id, None)
        if stream is not None:
            await stream.aclose()

    async def aclose(self) -> None:
        """Hang up on all."""
        while self._streams:
            _, stream = self._streams.popitem()
            await stream.aclose()
