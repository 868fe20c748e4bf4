"""What a check works with: the runtime, a spec to make sandboxes to, and the means to look at what happened."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from atoll.agent.client import AgentClient
from atoll.agent.shell import AgentCommandEnded
from atoll.model.calls import CommandOutput, Logs
from atoll.model.ids import SandboxId
from atoll.runtime.contract import Runtime, Sandbox, SandboxSpec, SandboxState

SPEC: Final = SandboxSpec(memory_bytes=256 << 20, disk_bytes=256 << 20, pids_max=64, cpus=1.0)

WAIT_S: Final = 90.0
_PAUSE_S: Final = 0.01
_OUTPUT_MAX: Final = 1 << 20
_TIMEOUT_MS: Final = 30_000


class ConformanceError(AssertionError):
    """The runtime does not keep the contract; the message says where."""


class DoesNotApplyError(Exception):
    """The runtime does not claim what this check is about."""


def require(condition: object, message: str) -> None:
    """Raise ``ConformanceError`` unless the condition holds. (An ``assert`` would vanish under ``python -O``.)"""
    if not condition:
        raise ConformanceError(message)


async def require_error(error: type[Exception], what: Awaitable[object], message: str) -> None:
    """Raise ``ConformanceError`` unless awaiting raises just this error."""
    try:
        await what
    except error:
        return
    raise ConformanceError(f"{message}: {error.__name__} was not raised")


async def eventually(condition: Callable[[], Awaitable[object]], message: str) -> None:
    """Wait until the condition holds, for a bounded time."""
    give_up_at = time.monotonic() + WAIT_S
    while not await condition():
        if time.monotonic() > give_up_at:
            raise ConformanceError(f"not within {WAIT_S:.0f} s: {message}")
        await asyncio.sleep(_PAUSE_S)


@dataclass(slots=True)
class Bench:
    """One check's place of work; ``close`` destroys what the check made."""

    runtime: Runtime
    spec: SandboxSpec = SPEC
    made: list[SandboxId] = field(default_factory=list)

    async def create(self) -> Sandbox:
        """Make a sandbox that goes away with the bench."""
        sandbox = await self.runtime.create(self.spec)
        self.made.append(sandbox.id)
        return sandbox

    async def close(self) -> None:
        """Destroy everything that was made."""
        for sandbox_id in self.made:
            await self.runtime.destroy(sandbox_id)

    def agent(self, sandbox_id: SandboxId) -> AgentClient:
        """Give a client of a sandbox's agent."""
        return AgentClient(lambda: self.runtime.dial(sandbox_id))

    async def observed(self) -> dict[SandboxId, SandboxState]:
        """Give what the runtime observes."""
        return {sandbox.id: sandbox.state for sandbox in await self.runtime.observe()}

    async def python(self, sandbox_id: SandboxId, code: str) -> str:
        """Run code and give what it printed."""
        async with aclosing(self.agent(sandbox_id).python(code, _TIMEOUT_MS, _OUTPUT_MAX)) as events:
            return "".join([event.text async for event in events if isinstance(event, Logs)])

    async def shell(self, sandbox_id: SandboxId, command: str) -> tuple[int | None, str]:
        """Run a command and give its exit code and what it wrote."""
        texts, exit_code = [], None
        async with aclosing(self.agent(sandbox_id).shell([command], _TIMEOUT_MS, _OUTPUT_MAX)) as events:
            async for event in events:
                if isinstance(event, CommandOutput):
                    texts.append(event.stdout + event.stderr)
                elif isinstance(event, AgentCommandEnded):
                    exit_code = event.exit_code
        return exit_code, "".join(texts)


def open_descriptors() -> set[str]:
    """Tell what this process holds open, each as ``number -> target``."""
    found = set()
    for path in list(Path("/proc/self/fd").iterdir()):
        with suppress(FileNotFoundError):  # the descriptor of the scan itself
            found.add(f"{path.name} -> {path.readlink()}")
    return found
