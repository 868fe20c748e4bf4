"""The last steps to a container's agent, for whatever runs people's code."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from atoll.agent.client import AgentClient
from atoll.model.containers import Container
from atoll.service.failures import translated
from atoll.service.sandboxes import Sandboxes
from atoll.service.secrets import Secrets


class Entrance:
    """Wakes sandboxes, and sees that what runs in them trusts whom it must."""

    def __init__(self, sandboxes: Sandboxes, secrets: Secrets) -> None:
        self._sandboxes = sandboxes
        self._secrets = secrets

    @asynccontextmanager
    async def entered(self, container: Container) -> AsyncIterator[tuple[Container, AgentClient]]:
        """Give a container that is held, with the sandbox that it has by now, and its agent.

        Raises ``atoll.model.errors`` only.
        """
        async with self._sandboxes.reached(container) as (sandbox_id, agent):
            container = replace(container, sandbox_id=sandbox_id)
            with translated():
                await self._secrets.let_trust(container, agent)
            yield container, agent
