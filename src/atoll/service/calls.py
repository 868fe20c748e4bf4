"""Running code in a container: one call at a time, in order, watched from outside."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Final, Literal, TypeVar

from atoll.agent.client import AgentClient
from atoll.agent.errors import AgentError, AgentRefusedError
from atoll.agent.exchange import MakeRoom, unlimited
from atoll.agent.outcome import OutcomeType
from atoll.agent.python import AgentPythonEnded
from atoll.agent.shell import AgentCommandEnded, AgentShellEnded
from atoll.model.calls import (
    CallStarted,
    CommandEnded,
    CommandOutput,
    EndCause,
    Logs,
    PythonCall,
    PythonEnded,
    PythonEvent,
    ShellCall,
    ShellEnded,
    ShellEvent,
)
from atoll.model.container_events import CallKind
from atoll.model.containers import Container
from atoll.model.errors import InvalidRequestError
from atoll.model.ids import CallId, IdGenerator, ProjectId
from atoll.runtime.contract import SandboxNotFoundError, SandboxNotRunningError
from atoll.service import call_notes
from atoll.service.access import Access
from atoll.service.call_ends import FAILURES, CallEnds
from atoll.service.checks import check_count, check_text, integer_or
from atoll.service.contents import Contents
from atoll.service.egress import Egress, Refusals
from atoll.service.entrance import Entrance
from atoll.service.events import CallTelling, Events
from atoll.service.failures import translated
from atoll.service.limits import ServiceLimits
from atoll.service.sandboxes import Sandboxes
from atoll.service.secrets import Secrets
from atoll.service.tally import MemoryShortage
from atoll.service.turns import Turns

E = TypeVar("E")

_BUSY_PAUSE_S = 0.05
_STATUS: dict[OutcomeType, Literal["completed", "incomplete", "failed"]] = {
    OutcomeType.OK: "completed",
    OutcomeType.ERROR: "completed",
    OutcomeType.TIMEOUT: "incomplete",
    OutcomeType.INTERRUPTED: "incomplete",
    OutcomeType.DIED: "failed",
}
_KINDS: Final[dict[str, CallKind]] = {"ci_": "code_interpreter", "sho_": "shell"}
_CAUSE: dict[OutcomeType, EndCause] = {
    OutcomeType.OK: "itself",
    OutcomeType.ERROR: "itself",
    OutcomeType.TIMEOUT: "timeout",
    OutcomeType.INTERRUPTED: "interrupted",
    OutcomeType.DIED: "died",
}


class Calls:
    """Use cases of ``code_interpreter_calls``, ``shell_calls``, ``interrupt`` and ``restart``.

    Before its first event a call raises ``NotFoundError``, ``ContainerExpiredError``, ``InvalidRequestError``,
    ``BusyError`` (queue full, or no room to wake the sandbox) or ``SandboxFailedError``. After ``CallStarted`` what
    goes wrong inside the sandbox is told in the output and in the last event.
    """

    def __init__(
        self,
        *,
        ids: IdGenerator,
        access: Access,
        sandboxes: Sandboxes,
        contents: Contents,
        egress: Egress,
        secrets: Secrets,
        limits: ServiceLimits,
        events: Events,
    ) -> None:
        self._ids = ids
        self._access = access
        self._sandboxes = sandboxes
        self._contents = contents
        self._egress = egress
        self._secrets = secrets
        self._limits = limits
        self._events = events
        self._turns = Turns(limits.calls_waiting_max)
        self._entrance = Entrance(sandboxes, secrets)
        self._ends = CallEnds(access, sandboxes, egress)

    async def run_python(
        self, project_id: ProjectId, container_id: str, call: PythonCall, make_room: MakeRoom = unlimited
    ) -> AsyncGenerator[PythonEvent, None]:
        """Run code; the first event is ``CallStarted``, the last ``PythonEnded``. Closing it interrupts the call.

        ``make_room`` is asked before output is read; it may raise ``NoAnswerRoomError``.
        """
        timeout_ms = self._timeout_ms(call.timeout_ms)
        check_text("code", call.code, bytes_max=self._limits.code_bytes_max)
        async with self._turn(project_id, container_id, "ci_") as (container, agent, telling, refusals):
            yield CallStarted(CallId(telling.call_id))
            line_start = ""
            try:
                event, rest = await self._begun(
                    lambda: agent.python(
                        call.code,
                        timeout_ms,
                        self._limits.output_bytes_max,
                        make_room=make_room,
                        environment=self._secrets.environment(container),
                        html=call.html,
                    )
                )
                async with aclosing(rest):
                    while not isinstance(event, AgentPythonEnded):
                        if isinstance(event, Logs):
                            line_start = "" if event.text.endswith("\n") else "\n"
                        yield event
                        event = await anext(rest)
                shortage = await self._shortage(container, event)
                for note in await self._python_notes(container, event, shortage, telling, refusals):
                    yield Logs(f"{line_start}{note}\n")
                    line_start = ""
                files = await self._contents.note(container, event.files)
                if event.disk_full:
                    telling.limit("disk")
                cause = "memory" if shortage is not None else _CAUSE[event.outcome.type]
                telling.ended(cause)
                yield PythonEnded(status=_STATUS[event.outcome.type], files=files, cause=cause)
            except FAILURES as error:
                cause, note = await self._ends.explain(container, error)
                telling.ended(cause)
                yield Logs(f"{line_start}{note}\n")
                yield PythonEnded(status="incomplete" if cause == "no_room" else "failed", files=(), cause=cause)

    async def run_shell(
        self, project_id: ProjectId, container_id: str, call: ShellCall, make_room: MakeRoom = unlimited
    ) -> AsyncGenerator[ShellEvent, None]:
        """Run commands; the first event is ``CallStarted``, the last ``ShellEnded``. Closing it interrupts the call.

        ``make_room`` is asked before output is read; it may raise ``NoAnswerRoomError``.
        """
        timeout_ms = self._timeout_ms(call.timeout_ms)
        self._check_commands(call.commands)
        output_chars_max = self._output_chars_max(call.max_output_length, len(call.commands))
        async with self._turn(project_id, container_id, "sho_") as (container, agent, telling, refusals):
            yield CallStarted(CallId(telling.call_id))
            running = 0
            try:
                event, rest = await self._begun(
                    lambda: agent.shell(
                        call.commands,
                        timeout_ms,
                        output_chars_max,
                        make_room=make_room,
                        environment=self._secrets.environment(container),
                    )
                )
                async with aclosing(rest):
                    while not isinstance(event, AgentShellEnded):
                        if isinstance(event, AgentCommandEnded):
                            for note in await self._command_notes(container, event, telling, refusals):
                                yield CommandOutput(event.index, "", note + "\n")
                            running = event.index + 1
                            yield CommandEnded(event.index, event.exit_code)
                        else:
                            yield event
                        event = await anext(rest)
                files = await self._contents.note(container, event.files)
                if event.disk_full:
                    telling.limit("disk")
                is_whole = event.outcome.type is OutcomeType.OK
                status: Literal["completed", "incomplete"] = "completed" if is_whole else "incomplete"
                cause = _CAUSE[event.outcome.type]
                telling.ended(cause)
                yield ShellEnded(status=status, files=files, cause=cause)
            except FAILURES as error:
                cause, note = await self._ends.explain(container, error)
                telling.ended(cause)
                for index in range(running, len(call.commands)):
                    if index == running:
                        yield CommandOutput(index, "", note + "\n")
                    yield CommandEnded(index, None)
                yield ShellEnded(status="incomplete", files=(), cause=cause)

    async def interrupt(self, project_id: ProjectId, container_id: str) -> bool:
        """Stop the call that runs; tells whether one did. Waiting calls stay in the queue."""
        async with self._access.use(project_id, container_id) as container:
            with translated():
                try:
                    return await self._sandboxes.running_agent_of(container).interrupt()
                except (SandboxNotRunningError, SandboxNotFoundError):
                    return False

    async def restart(self, project_id: ProjectId, container_id: str) -> None:
        """End every process of people's code; the next call has a fresh Python. Files are kept."""
        async with self._access.use(project_id, container_id) as container:
            with translated():
                try:
                    await self._sandboxes.running_agent_of(container).restart()
                except (SandboxNotRunningError, SandboxNotFoundError):
                    return
                except AgentError:
                    # An agent that cannot do it any more is ended with all the rest, which is the same to the caller.
                    await self._sandboxes.stop(container)

    def _timeout_ms(self, asked: int | None) -> int:
        return integer_or(self._limits.timeout_ms_default, "timeout_ms", asked, 1, self._limits.timeout_ms_max)

    def _output_chars_max(self, asked: int | None, commands_count: int) -> int:
        """Give each command's limit: an answer is held in memory as a whole, so together they have one call's."""
        share = self._limits.output_bytes_max // commands_count
        return min(share, integer_or(share, "max_output_length", asked, 0, self._limits.output_bytes_max))

    def _check_commands(self, commands: tuple[str, ...]) -> None:
        if not commands:
            raise InvalidRequestError(
                "Invalid 'commands': empty array. Expected an array with minimum length 1.",
                param="commands",
                code="empty_array",
            )
        check_count("commands", len(commands), self._limits.commands_max)
        for index, command in enumerate(commands):
            check_text(f"commands[{index}]", command, bytes_max=self._limits.command_bytes_max)

    @asynccontextmanager
    async def _turn(
        self, project_id: ProjectId, container_id: str, prefix: Literal["ci_", "sho_"]
    ) -> AsyncIterator[tuple[Container, AgentClient, CallTelling, Refusals | None]]:
        """Wait for the container's turn, wake its sandbox, and give the call an id."""
        with self._turns.place(project_id, container_id) as turn:
            async with self._access.use(project_id, container_id) as held:
                container = held
                if not turn.is_set():
                    await turn.wait()
                    # It may have been deleted, or got another sandbox, while this call waited.
                    container = await self._access.find(project_id, container_id)
                async with self._entrance.entered(container) as (entered, agent):
                    telling = self._events.call(entered.id, self._ids.new(prefix), _KINDS[prefix])
                    with self._egress.watching(entered) as refusals, telling:
                        yield entered, agent, telling, refusals

    async def _begun(self, begin: Callable[[], AsyncGenerator[E, None]]) -> tuple[E, AsyncGenerator[E, None]]:
        """Give a call's first event and the rest; tries again while the agent still ends a call that was hung up on."""
        give_up_at = asyncio.get_running_loop().time() + self._limits.agent_timeout_s
        while True:
            events = begin()
            try:
                return await anext(events), events
            except AgentRefusedError as error:
                if error.code != "busy" or asyncio.get_running_loop().time() > give_up_at:
                    raise
            await asyncio.sleep(_BUSY_PAUSE_S)

    async def _shortage(self, container: Container, ended: AgentPythonEnded) -> MemoryShortage | None:
        return await self._sandboxes.memory_killed(container) if ended.outcome.type is OutcomeType.DIED else None

    async def _python_notes(
        self,
        container: Container,
        ended: AgentPythonEnded,
        shortage: MemoryShortage | None,
        telling: CallTelling,
        refusals: Refusals | None,
    ) -> list[str]:
        notes = []
        if ended.images_omitted or ended.omitted_bytes:
            telling.limit("output")
        if ended.images_omitted:
            notes.append(call_notes.images_omitted(ended.images_omitted))
        if shortage is not None:
            notes.append(call_notes.memory_killed_python(container.memory_limit, shortage))
        return [
            *notes,
            *await self._ends.processes_note(container, ended.pids_taken, telling),
            *await self._ends.network_note(refusals),
        ]

    async def _command_notes(
        self, container: Container, ended: AgentCommandEnded, telling: CallTelling, refusals: Refusals | None
    ) -> list[str]:
        notes = []
        shortage = await self._sandboxes.memory_killed(container) if ended.exit_code == 128 + 9 else None
        if ended.omitted_bytes:
            telling.limit("output")
        if shortage is not None:
            telling.limit("memory")
            notes.append(call_notes.memory_killed_command(container.memory_limit, shortage))
        return [
            *notes,
            *await self._ends.processes_note(container, ended.pids_taken, telling),
            *await self._ends.network_note(refusals),
        ]
