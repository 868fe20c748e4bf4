"""Checks of what is left after something ended that should not have: the agent, or the caller's patience."""

import asyncio
import os
import signal

from atoll.agent.errors import AgentGoneError
from atoll.model.ids import SandboxId
from atoll.runtime.conformance.bench import Bench, eventually, open_descriptors, require, require_error
from atoll.runtime.conformance.host_processes import find_agent_above, find_marked, is_there
from atoll.runtime.contract import SandboxNotRunningError, SandboxState

_CANCEL_AFTER_S = (0.0, 0.001, 0.005, 0.02, 0.05, 0.1, 0.2)
_CYCLES = 10


async def a_sandbox_whose_agent_died_can_be_started(bench: Bench) -> None:
    """An agent's death ends the sandbox's other processes and shows as ``stopped``; ``start`` brings it back."""
    sandbox = await bench.create()
    mark = f"conformance-death-{sandbox.id}"
    await bench.shell(sandbox.id, "echo kept > kept.txt")
    agent_pid = await _agent_of(bench, sandbox.id, mark)
    os.kill(agent_pid, signal.SIGKILL)

    async def stopped() -> bool:
        return (await bench.observed())[sandbox.id] is SandboxState.STOPPED and not find_marked(mark)

    await eventually(stopped, "a sandbox without its agent is observed as stopped and has no processes")
    await require_error(SandboxNotRunningError, bench.runtime.dial(sandbox.id), "dial without an agent")
    await bench.runtime.start(sandbox.id)
    require(await bench.shell(sandbox.id, "cat kept.txt") == (0, "kept\n"), "it comes back on its files")


async def a_dead_agent_can_be_replaced_at_once(bench: Bench) -> None:
    """``start`` right after the death, before anybody has cleaned up, gives a sandbox that works."""
    sandbox = await bench.create()
    os.kill(await _agent_of(bench, sandbox.id, f"conformance-restart-{sandbox.id}"), signal.SIGKILL)

    async def answers() -> bool:
        await bench.runtime.start(sandbox.id)
        try:
            await bench.agent(sandbox.id).hello()
        except (SandboxNotRunningError, AgentGoneError):
            return False
        return True

    await eventually(answers, "a started sandbox answers")


async def a_cancelled_create_leaves_nothing_half_made(bench: Bench) -> None:
    """Whenever it is cancelled: in the end there is a whole sandbox, observed, or none."""
    before = set(await bench.observed())
    for delay_s in _CANCEL_AFTER_S:
        creating = asyncio.ensure_future(bench.runtime.create(bench.spec))
        await asyncio.wait({creating}, timeout=delay_s)
        creating.cancel()
        await asyncio.gather(creating, return_exceptions=True)
    await eventually(lambda: _only_whole_ones(bench, before), "what is observed after cancelled creates is whole")

    async def is_as_before() -> bool:
        """Creates that were cancelled may still come to their end one after the other."""
        for sandbox_id in set(await bench.observed()) - before:
            await bench.runtime.destroy(sandbox_id)
        return set(await bench.observed()) == before

    await eventually(is_as_before, "what cancelled creates made can be destroyed")


async def a_cancelled_destroy_can_be_repeated(bench: Bench) -> None:
    """``destroy`` cancelled at any moment: done in the background, or to be done again."""
    for delay_s in _CANCEL_AFTER_S:
        sandbox = await bench.create()
        destroying = asyncio.ensure_future(bench.runtime.destroy(sandbox.id))
        await asyncio.wait({destroying}, timeout=delay_s)
        destroying.cancel()
        await asyncio.gather(destroying, return_exceptions=True)
        await bench.runtime.destroy(sandbox.id)
        require(sandbox.id not in await bench.observed(), "the second destroy finishes the first")


async def coming_and_going_leaves_nothing(bench: Bench) -> None:
    """Sandboxes made, used and destroyed leave no process, and no descriptor in the server."""
    await _cycle(bench)
    before = open_descriptors()
    pids = [pid for _ in range(_CYCLES) for pid in await _cycle(bench)]
    require(not [pid for pid in pids if is_there(pid)], "no process is left")

    async def as_before() -> bool:
        return len(open_descriptors()) <= len(before)

    await eventually(as_before, "no descriptor is left open")


async def _cycle(bench: Bench) -> tuple[int, ...]:
    sandbox = await bench.create()
    mark = f"conformance-cycle-{sandbox.id}"
    agent_pid = await _agent_of(bench, sandbox.id, mark)
    pids = (agent_pid, *find_marked(mark))
    await bench.runtime.destroy(sandbox.id)
    bench.made.remove(sandbox.id)
    return pids


async def _agent_of(bench: Bench, sandbox_id: SandboxId, mark: str) -> int:
    """Give the host's process id of a sandbox's agent, after starting a marked process in the sandbox."""
    await bench.shell(sandbox_id, f"(exec -a {mark} sleep 1000) </dev/null >/dev/null 2>&1 &")
    agents: list[int] = []

    async def found() -> bool:
        agents.extend(agent for pid in find_marked(mark) if (agent := find_agent_above(pid)) is not None)
        return bool(agents)

    await eventually(found, "a process with the agent above it is seen by the host")
    return agents[0]


async def _only_whole_ones(bench: Bench, before: set[SandboxId]) -> bool:
    for sandbox_id in set(await bench.observed()) - before:
        try:
            await bench.agent(sandbox_id).hello()
        except Exception:  # noqa: BLE001 - whatever is wrong with it, it is not whole yet
            return False
    return True
