"""Checks of a sandbox's life: made, started, stopped, destroyed, observed."""

import asyncio
import time
from functools import partial

from atoll.agent.errors import AgentGoneError
from atoll.model.ids import SandboxId, is_id
from atoll.runtime.conformance.bench import Bench, eventually, require, require_error
from atoll.runtime.conformance.host_processes import find_marked
from atoll.runtime.contract import (
    SandboxNotFoundError,
    SandboxNotRunningError,
    SandboxState,
    SpecRefusedError,
)

_CLOCKS_APART_S = 5.0
_WAITED_S_MAX = 3600.0
_NOT_IDS = ("", "sbx_", "sbx_" + "0" * 32, "sbx_" + "G" * 32, "../../etc", "/", "sbx_" + "0" * 31 + "/", "a\0b")


async def a_new_sandbox_runs_and_is_observed(bench: Bench) -> None:
    """``create`` gives a well-formed, running sandbox, made now or a while ago, whose agent can be asked at once."""
    before = time.time() - _WAITED_S_MAX
    sandbox = await bench.create()
    require(is_id("sbx_", sandbox.id), "the id has the form of a sandbox's")
    require(sandbox.state is SandboxState.RUNNING, "a new sandbox runs")
    require(
        before - _CLOCKS_APART_S <= sandbox.created_at <= time.time() + _CLOCKS_APART_S,
        "created_at is when it was made, in unix seconds",
    )
    await bench.agent(sandbox.id).hello()
    require(sandbox in list(await bench.runtime.observe()), "what create gave is what observe gives")


async def sandboxes_are_apart(bench: Bench) -> None:
    """Files and variables of one are not another's, also when they are made at the same time."""
    first, second = await asyncio.gather(bench.create(), bench.create())
    require(first.id != second.id, "ids are unique")
    await bench.shell(first.id, "echo one > name")
    await bench.python(first.id, "name = 'one'")
    require(not (await bench.agent(second.id).list_files(10)).files, "files are a sandbox's own")
    require("NameError" in await bench.python(second.id, "name"), "variables are a sandbox's own")


async def too_large_a_spec_is_refused(bench: Bench) -> None:
    """``create`` raises ``SpecRefusedError`` for more memory than there ever is, and makes nothing."""
    before = await bench.observed()
    spec = type(bench.spec)(
        memory_bytes=bench.runtime.capabilities.memory_bytes_max + 1,
        disk_bytes=bench.spec.disk_bytes,
        pids_max=bench.spec.pids_max,
        cpus=bench.spec.cpus,
    )
    await require_error(SpecRefusedError, bench.runtime.create(spec), "more memory than the machine has")
    require(await bench.observed() == before, "a refused spec makes nothing")


async def what_is_not_there_is_not_found(bench: Bench) -> None:
    """Unknown and malformed ids: not found where something is needed, no error where it should be gone."""
    for text in _NOT_IDS:
        sandbox_id = SandboxId(text)
        await require_error(SandboxNotFoundError, bench.runtime.start(sandbox_id), f"start({text!r})")
        await require_error(SandboxNotFoundError, bench.runtime.dial(sandbox_id), f"dial({text!r})")
        await require_error(SandboxNotFoundError, bench.runtime.usage(sandbox_id), f"usage({text!r})")
        await bench.runtime.stop(sandbox_id)
        await bench.runtime.destroy(sandbox_id)


async def starting_what_runs_changes_nothing(bench: Bench) -> None:
    """``start`` of a running sandbox leaves its processes as they are, and may be repeated at the same time."""
    sandbox = await bench.create()
    await bench.python(sandbox.id, "kept = 6 * 7")
    for again in await asyncio.gather(*(bench.runtime.start(sandbox.id) for _ in range(3))):
        require(again == sandbox, "start gives the same sandbox")
    require(await bench.python(sandbox.id, "print(kept)") == "42\n", "variables outlive a needless start")


async def a_stopped_sandbox_keeps_its_files_only(bench: Bench) -> None:
    """``stop`` and ``start``: files stay, processes and variables do not; both may be repeated."""
    sandbox = await bench.create()
    await bench.python(sandbox.id, "kept = 1; _ = open('kept.txt', 'w').write('still here')")
    await bench.runtime.stop(sandbox.id)
    await bench.runtime.stop(sandbox.id)
    require((await bench.observed()).get(sandbox.id) is SandboxState.STOPPED, "it is observed as stopped")
    await require_error(SandboxNotRunningError, bench.runtime.dial(sandbox.id), "dial of a stopped sandbox")
    await require_error(SandboxNotRunningError, bench.runtime.usage(sandbox.id), "usage of a stopped sandbox")
    started = await bench.runtime.start(sandbox.id)
    require(started == sandbox, "start gives the sandbox as it was made, running")
    require((await bench.observed()).get(sandbox.id) is SandboxState.RUNNING, "it is observed as running")
    kept = await bench.python(sandbox.id, "print(open('kept.txt').read())")
    require(kept == "still here\n", "files are kept")
    require("NameError" in await bench.python(sandbox.id, "kept"), "variables are not")


async def starting_at_the_same_time_starts_once(bench: Bench) -> None:
    """Several ``start`` of one stopped sandbox agree on one running sandbox."""
    sandbox = await bench.create()
    await bench.runtime.stop(sandbox.id)
    for started in await asyncio.gather(*(bench.runtime.start(sandbox.id) for _ in range(4))):
        require(started == sandbox, "every start gives the same sandbox")
    await bench.python(sandbox.id, "one = 1")
    require(await bench.python(sandbox.id, "print(one)") == "1\n", "all connections lead to the same agent")


async def a_destroyed_sandbox_is_gone(bench: Bench) -> None:
    """``destroy``, of a running and of a stopped sandbox, also repeated and at the same time."""
    running, stopped = await bench.create(), await bench.create()
    await bench.runtime.stop(stopped.id)
    for sandbox in (running, stopped):
        await asyncio.gather(*(bench.runtime.destroy(sandbox.id) for _ in range(3)))
        await bench.runtime.destroy(sandbox.id)
        require(sandbox.id not in await bench.observed(), "it is not observed any more")
        await require_error(SandboxNotFoundError, bench.runtime.dial(sandbox.id), "dial of a destroyed sandbox")
        await require_error(SandboxNotFoundError, bench.runtime.usage(sandbox.id), "usage of a destroyed sandbox")
        await require_error(SandboxNotFoundError, bench.runtime.start(sandbox.id), "start of a destroyed sandbox")
        await bench.runtime.stop(sandbox.id)


async def stopping_and_destroying_end_a_running_call(bench: Bench) -> None:
    """A call in flight ends as the agent's being gone, soon, and does not hold up ``stop`` or ``destroy``."""
    sandbox = await bench.create()
    for end in (bench.runtime.stop, bench.runtime.destroy):
        await bench.runtime.start(sandbox.id)
        mark = f"conformance-call-{sandbox.id}"
        call = asyncio.ensure_future(bench.shell(sandbox.id, f"exec -a {mark} sleep 1000"))
        await eventually(partial(_found, mark), "the command runs")
        await end(sandbox.id)
        require(not find_marked(mark), "no process of the sandbox is left when the method returns")
        await require_error(AgentGoneError, call, "the call in flight")


async def daemons_end_too(bench: Bench) -> None:
    """Processes that left their session and parent behind do not outlive ``stop``, nor ``destroy``."""
    sandbox = await bench.create()
    for end in (bench.runtime.stop, bench.runtime.destroy):
        await bench.runtime.start(sandbox.id)
        mark = f"conformance-daemon-{sandbox.id}"
        daemon = f"(exec -a {mark} sleep 1000 </dev/null >/dev/null 2>&1 &)"
        await bench.shell(sandbox.id, f"env -i setsid bash -c '{daemon}' </dev/null >/dev/null 2>&1 &")
        await eventually(partial(_found, mark), "the daemon runs")
        await end(sandbox.id)
        require(not find_marked(mark), "no daemon of the sandbox is left when the method returns")


async def _found(mark: str) -> bool:
    return bool(find_marked(mark))
