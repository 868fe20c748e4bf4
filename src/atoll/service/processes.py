"""Running single programs in a container, beside its calls and beside each other."""

from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import ExitStack, aclosing, contextmanager
from signal import SIGKILL
from typing import Final

from atoll.agent.errors import AgentError, AgentRefusedError
from atoll.agent.exchange import MakeRoom, unlimited
from atoll.agent.process import AgentProcessEnded, AgentProcessEvent, AgentProcessStarted
from atoll.model.calls import EndCause
from atoll.model.containers import Container
from atoll.model.errors import BusyError, InvalidRequestError
from atoll.model.ids import IdGenerator, ProcessId, ProjectId
from atoll.model.processes import (
    Lost,
    NewProcess,
    ProcessEnded,
    ProcessEvent,
    ProcessGap,
    ProcessStarted,
    Signalled,
    TimedOut,
)
from atoll.runtime.contract import RuntimeFailure
from atoll.service import call_notes
from atoll.service.access import Access
from atoll.service.call_ends import FAILURES, CallEnds
from atoll.service.checks import check_count, check_text, integer_or
from atoll.service.egress import Egress, Refusals
from atoll.service.entrance import Entrance
from atoll.service.events import CallTelling, Events
from atoll.service.failures import translate
from atoll.service.limits import ServiceLimits
from atoll.service.sandboxes import Sandboxes
from atoll.service.secrets import Secrets

ARGUMENTS_MAX: Final = 4096
VARIABLES_MAX: Final = 512
# The kernel takes no argument and no variable of 128 KiB, the zero byte behind it included, and of all together a
# quarter of what the stack may have.
ARGUMENT_BYTES_MAX: Final = 128 * 1024 - 1
ARGUMENTS_BYTES_MAX: Final = 1024 * 1024
PATH_BYTES_MAX: Final = 4095
USER_CHARS_MAX: Final = 256

_PARAMS: Final = {"argv": "argv", "environment": "env", "cwd": "cwd", "user": "user"}


class Processes:
    """Use cases of ``/v1/containers/{id}/processes``."""

    def __init__(
        self,
        *,
        ids: IdGenerator,
        access: Access,
        sandboxes: Sandboxes,
        egress: Egress,
        secrets: Secrets,
        limits: ServiceLimits,
        events: Events,
    ) -> None:
        self._ids = ids
        self._access = access
        self._sandboxes = sandboxes
        self._egress = egress
        self._secrets = secrets
        self._limits = limits
        self._events = events
        self._entrance = Entrance(sandboxes, secrets)
        self._ends = CallEnds(access, sandboxes, egress)
        self._running: Counter[tuple[ProjectId, str]] = Counter()

    async def run(
        self, project_id: ProjectId, container_id: str, process: NewProcess, make_room: MakeRoom = unlimited
    ) -> AsyncGenerator[ProcessEvent, None]:
        """Run a program; the first event is ``ProcessStarted``, the last ``ProcessEnded``. Closing it ends the program.

        Before its first event it raises ``NotFoundError``, ``ContainerExpiredError``, ``InvalidRequestError`` (which
        names the field, also for what only the sandbox can know: a program, folder or user that is not there),
        ``BusyError`` (too many run, or no room) or ``SandboxFailedError``. What goes wrong afterwards is told in the
        last event. ``make_room`` is asked before output is read; it may raise ``NoAnswerRoomError``.
        """
        self._check(process)
        limits = self._limits
        timeout_ms = integer_or(limits.timeout_ms_default, "timeout_ms", process.timeout_ms, 1, limits.timeout_ms_max)
        output_bytes_max = integer_or(
            limits.output_bytes_max, "max_output_bytes", process.output_bytes_max, 0, limits.output_bytes_max
        )
        with self._place(project_id, container_id):
            async with self._access.use(project_id, container_id) as held, self._entrance.entered(held) as entered:
                container, agent = entered
                events = agent.process(
                    process,
                    timeout_ms,
                    output_bytes_max,
                    make_room=make_room,
                    environment=self._secrets.environment(container),
                )
                with self._egress.watching(container) as refusals:
                    async with aclosing(events), aclosing(self._told(container, events, refusals)) as told:
                        async for event in told:
                            yield event

    @contextmanager
    def _place(self, project_id: ProjectId, container_id: str) -> Iterator[None]:
        key = (project_id, container_id)
        if self._running[key] >= self._limits.processes_max:
            raise BusyError(
                f"The container runs {self._limits.processes_max} programs already, the most that it may at once.",
                retry_after_s=1,
                reason="container_busy",
            )
        self._running[key] += 1
        try:
            yield
        finally:
            self._running[key] -= 1
            if not self._running[key]:
                del self._running[key]

    async def _told(
        self, container: Container, events: AsyncGenerator[AgentProcessEvent, None], refusals: Refusals | None
    ) -> AsyncGenerator[ProcessEvent, None]:
        with ExitStack() as told:
            telling: CallTelling | None = None
            try:
                async for event in events:
                    if telling is None:  # also for one that was told to end before it could begin
                        telling = told.enter_context(self._telling(container))
                        yield ProcessStarted(ProcessId(telling.call_id))
                    match event:
                        case AgentProcessStarted():
                            pass
                        case AgentProcessEnded():
                            yield await self._ended(container, event, telling, refusals)
                        case _:
                            if isinstance(event, ProcessGap):
                                telling.limit("output")
                            yield event
            except FAILURES as error:
                if telling is None:
                    raise await self._refusal(container, error) from error
                cause, note = await self._ends.explain(container, error)
                telling.ended(cause)
                yield ProcessEnded(outcome=Lost(), notes=_bare([note]), cause=cause)

    def _telling(self, container: Container) -> CallTelling:
        return self._events.call(container.id, self._ids.new("proc_"), "process")

    async def _ended(
        self, container: Container, ended: AgentProcessEnded, telling: CallTelling, refusals: Refusals | None
    ) -> ProcessEnded:
        cause: EndCause = "itself"
        notes = [call_notes.room_made()] if ended.made_room else []
        match ended.outcome:
            case TimedOut():
                cause = "timeout"
            case Lost():
                cause = "interrupted"
            case Signalled(signal) if signal == SIGKILL:
                shortage = await self._sandboxes.memory_killed(container)
                if shortage is not None:
                    cause = "memory"
                    notes.append(call_notes.memory_killed_program(container.memory_limit, shortage))
        notes += await self._ends.processes_note(container, ended.pids_taken, telling)
        notes += await self._ends.network_note(refusals)
        telling.ended(cause)
        return ProcessEnded(outcome=ended.outcome, notes=_bare(notes), cause=cause)

    async def _refusal(self, container: Container, error: Exception) -> Exception:
        """Say why a program was not even started."""
        await self._access.find(container.project_id, container.id)
        match error:
            case AgentRefusedError(field=str(field)) if field in _PARAMS:
                param = _PARAMS[field]
                return InvalidRequestError(f"Invalid '{param}': {error.message}", param=param, code="invalid_value")
            case AgentError() | RuntimeFailure():
                return translate(error)
            case _:
                return error

    def _check(self, process: NewProcess) -> None:
        """Refuse what no kernel would take, before anything is woken."""
        if not process.argv or not process.argv[0]:
            raise InvalidRequestError(
                "Invalid 'argv': expected the program and its arguments, the first of them not empty.",
                param="argv",
                code="empty_array" if not process.argv else "invalid_value",
            )
        check_count("argv", len(process.argv), ARGUMENTS_MAX)
        for index, argument in enumerate(process.argv):
            check_text(f"argv[{index}]", argument, bytes_max=ARGUMENT_BYTES_MAX)
        _check_environment(process.environment)
        _check_sum(process)
        if process.cwd is not None:
            check_text("cwd", process.cwd, bytes_max=PATH_BYTES_MAX)
        if process.user is not None:
            check_text("user", process.user, chars_max=USER_CHARS_MAX)
        if process.stdin is not None and len(process.stdin) > self._limits.stdin_bytes_max:
            raise InvalidRequestError(
                f"Invalid 'stdin': {len(process.stdin)} bytes, of which at most {self._limits.stdin_bytes_max} can be "
                "sent. Upload a file and let the program read that.",
                param="stdin",
                code="string_above_max_length",
            )


def _bare(notes: list[str]) -> tuple[str, ...]:
    """Take off what marks a line as ours among a program's own, which these are not among."""
    return tuple(note.removeprefix("[atoll] ") for note in notes)


def _check_environment(environment: Mapping[str, str]) -> None:
    check_count("env", len(environment), VARIABLES_MAX)
    for name, value in environment.items():
        if not name or "=" in name or "\0" in name or not name.isprintable():
            raise InvalidRequestError(
                "Invalid 'env': the name of a variable is empty or holds '=' or a character that cannot be in one.",
                param="env",
                code="invalid_value",
            )
        check_text(f"env.{name[:64]}", f"{name}={value}", bytes_max=ARGUMENT_BYTES_MAX)


def _check_sum(process: NewProcess) -> None:
    texts = [*process.argv, *(name + value for name, value in process.environment.items())]
    size = sum(len(text.encode()) for text in texts)
    if size > ARGUMENTS_BYTES_MAX:
        raise InvalidRequestError(
            f"Invalid 'argv': {size} bytes together with 'env', of which at most {ARGUMENTS_BYTES_MAX} can be given to "
            "a program. Send more as 'stdin' or in a file.",
            param="argv",
            code="string_above_max_length",
        )
