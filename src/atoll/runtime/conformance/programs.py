"""Checks of single programs, which run beside calls and beside each other."""

import os
from contextlib import aclosing, suppress

from atoll.agent.errors import AgentGoneError, AgentRefusedError
from atoll.agent.process import AgentProcessEnded, AgentProcessStarted
from atoll.model.ids import SandboxId
from atoll.model.processes import Exited, NewProcess, ProcessOutput, Signalled
from atoll.runtime.conformance.bench import Bench, ConformanceError, eventually, require
from atoll.runtime.conformance.host_processes import find_marked

_MEBIBYTE = 1 << 20
_TIMEOUT_MS = 30_000


async def a_program_gets_exactly_what_it_was_given(bench: Bench) -> None:
    """Arguments, environment and input arrive as they are, and every byte of the output comes back."""
    sandbox = await bench.create()
    arguments = ("", "$HOME *", "ä\n")
    show = "import os, sys; sys.stdout.buffer.write(b'|'.join(map(os.fsencode, (*sys.argv[1:], os.environ['N']))))"
    process = NewProcess(argv=("python3", "-c", show, *arguments), environment={"N": "a=b"})
    ended, output = await _run(bench, sandbox.id, process)
    require(output == "|".join((*arguments, "a=b")).encode(), "arguments and environment arrive as they are")
    require(ended.outcome == Exited(0), "the exit code comes back")
    data = os.urandom(4 * _MEBIBYTE)
    _, output = await _run(bench, sandbox.id, NewProcess(argv=("cat",), stdin=data))
    require(output == data, "what goes in comes out")


async def a_program_that_is_not_there_is_refused(bench: Bench) -> None:
    """Its name is what is wrong, and the sandbox goes on."""
    sandbox = await bench.create()
    try:
        await _run(bench, sandbox.id, NewProcess(argv=("no-such-program",)))
    except AgentRefusedError as error:
        require(error.field == "argv", "the refusal names the field")
    else:
        require(False, "a program that is not there is refused")
    ended, _ = await _run(bench, sandbox.id, NewProcess(argv=("sh", "-c", "kill -9 $$")))
    require(ended.outcome == Signalled(9), "the signal that ended a program comes back")


async def programs_run_beside_each_other(bench: Bench) -> None:
    """A program runs while a call and another program do, and hanging up ends the one it was for."""
    sandbox = await bench.create()
    agent = bench.agent(sandbox.id)
    marks = [f"conformance-program-{number}-{sandbox.id}" for number in range(2)]
    first, second = (
        agent.process(NewProcess(argv=("bash", "-c", f"exec -a {mark} sleep 1000")), _TIMEOUT_MS, 1000)
        for mark in marks
    )
    async with aclosing(agent.shell(["echo on; sleep 1000"], _TIMEOUT_MS, 1000)) as call, aclosing(first):
        await anext(call)
        async with aclosing(second):
            require(await anext(first) == AgentProcessStarted(), "a program starts beside a call")
            require(await anext(second) == AgentProcessStarted(), "a program starts beside another")

            async def both() -> bool:
                return all(find_marked(mark) for mark in marks)

            await eventually(both, "both run")

        async def one() -> bool:
            return not find_marked(marks[1])

        await eventually(one, "the program that was hung up on is ended")
        require(find_marked(marks[0]), "the other one is not")


async def stopping_ends_programs(bench: Bench) -> None:
    """``stop`` ends a running program, and whoever waits for it is told."""
    sandbox = await bench.create()
    async with aclosing(
        bench.agent(sandbox.id).process(NewProcess(argv=("sleep", "1000")), _TIMEOUT_MS, 1000)
    ) as events:
        await anext(events)
        await bench.runtime.stop(sandbox.id)
        with suppress(AgentGoneError):  # or its end by a signal, which the agent may have had the time to tell
            async for event in events:
                require(isinstance(event, AgentProcessEnded), "nothing is told of it but its end")


async def _run(bench: Bench, sandbox_id: SandboxId, process: NewProcess) -> tuple[AgentProcessEnded, bytes]:
    written = []
    async with aclosing(bench.agent(sandbox_id).process(process, _TIMEOUT_MS, 8 * _MEBIBYTE)) as events:
        async for event in events:
            if isinstance(event, ProcessOutput):
                written.append(event.stdout)
            elif isinstance(event, AgentProcessEnded):
                return event, b"".join(written)
    raise ConformanceError("a program's answer ends with its end")
