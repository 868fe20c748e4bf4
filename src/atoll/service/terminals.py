"""Terminals of containers: opened, connected to again, listed, closed.

A terminal lives in its sandbox and goes on while nobody is connected to it, also over a restart of the server. It does
not keep its container from expiring; what is typed into it counts as use.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from atoll.agent.client import AgentClient
from atoll.agent.errors import AgentError, AgentGoneError, AgentMisbehavedError, AgentOverdueError, AgentRefusedError
from atoll.agent.terminal import AgentTerminal
from atoll.model.containers import Container, ContainerStatus
from atoll.model.errors import BusyError, ContainerExpiredError, InvalidRequestError, NotFoundError, SandboxFailedError
from atoll.model.ids import IdGenerator, ProjectId, TerminalId, is_id
from atoll.model.terminals import SIZE_MAX, Terminal, TerminalEnded, TerminalSignal, TerminalSize
from atoll.runtime.contract import SandboxNotFoundError, SandboxNotRunningError
from atoll.service.access import Access
from atoll.service.checks import check_integer
from atoll.service.events import CallTelling, Events
from atoll.service.failures import translated
from atoll.service.limits import ServiceLimits
from atoll.service.places import Places
from atoll.service.sandboxes import Sandboxes
from atoll.service.secrets import Secrets

_TOUCH_EVERY_S: Final = 5.0
_GONE_FOR: Final = (SandboxNotRunningError, SandboxNotFoundError)


class InputOverdueError(InvalidRequestError):
    """What was typed was not taken: the program in the terminal does not read."""


class AttachedTerminal:
    """One connection to a terminal. Every method raises ``NotFoundError`` when the container is deleted meanwhile,
    ``ContainerExpiredError`` when its time is over, ``SandboxFailedError`` when its sandbox ended.
    """

    def __init__(
        self,
        terminal_id: TerminalId,
        container: Container,
        agent: AgentTerminal,
        *,
        access: Access,
        sandboxes: Sandboxes,
        telling: CallTelling,
        input_timeout_s: float,
    ) -> None:
        self.id = terminal_id
        self._container = container
        self._agent = agent
        self._access = access
        self._sandboxes = sandboxes
        self.telling = telling
        self._input_timeout_s = input_timeout_s
        self._touched_at = asyncio.get_running_loop().time()

    async def receive(self) -> bytes | TerminalEnded:
        """Wait for what is shown, or for the end; at most some tens of kilobytes, read only when asked for."""
        try:
            received = await self._agent.receive()
        except AgentOverdueError as error:
            raise _does_not_read() from error  # what was typed: nothing has to be shown by a certain time
        except AgentMisbehavedError as error:
            await self._sandboxes.stop(self._container)
            raise await self._explained() from error
        except (AgentError, ConnectionError) as error:
            raise await self._explained() from error
        if isinstance(received, TerminalEnded):
            self.telling.parted("detached" if received.reason == "taken_over" else "completed")
        return received

    async def type(self, data: bytes) -> None:
        """Type, which counts as use of the container. Raises ``InputOverdueError``."""
        await self._touch()
        with _taken_in_time():
            await self._agent.write(data, within_s=self._input_timeout_s)

    async def resize(self, size: TerminalSize) -> None:
        """Change the size. Raises ``InvalidRequestError``."""
        check_size(size)
        with _taken_in_time():
            await self._agent.resize(size, within_s=self._input_timeout_s)

    async def signal(self, name: TerminalSignal) -> None:
        """Signal the program in the foreground, which counts as use."""
        await self._touch()
        with _taken_in_time():
            await self._agent.signal(name, within_s=self._input_timeout_s)

    async def aclose(self) -> None:
        """Disconnect; the terminal goes on."""
        await self._agent.aclose()

    async def _touch(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._touched_at >= _TOUCH_EVERY_S:
            self._touched_at = now
            seen = await self._access.look(self._container.project_id, self._container.id)
            if seen.status is ContainerStatus.EXPIRED:
                raise ContainerExpiredError

    async def _explained(self) -> NotFoundError | ContainerExpiredError | SandboxFailedError:
        """Say why the connection to the sandbox ended."""
        self.telling.parted("failed")
        try:
            found = await self._access.find(self._container.project_id, self._container.id)
        except NotFoundError as error:
            return error
        if found.status is ContainerStatus.EXPIRED:
            return ContainerExpiredError()
        return SandboxFailedError("The container's sandbox ended, and its terminals with it; its files are kept.")


class Terminals:
    """Use cases of ``terminal`` and ``terminals``."""

    def __init__(
        self,
        *,
        ids: IdGenerator,
        access: Access,
        sandboxes: Sandboxes,
        secrets: Secrets,
        limits: ServiceLimits,
        events: Events,
    ) -> None:
        self._ids = ids
        self._access = access
        self._sandboxes = sandboxes
        self._secrets = secrets
        self._limits = limits
        self._events = events
        self._places = Places(limits.terminals_max, what="connections to terminals", reason="terminals")

    @property
    def count_open(self) -> int:
        """How many connections there are."""
        return len(self._places)

    @asynccontextmanager
    async def attached(
        self, project_id: ProjectId, container_id: str, size: TerminalSize, terminal_id: str | None = None
    ) -> AsyncIterator[AttachedTerminal]:
        """Connect to a new terminal, or to one that is there instead of whoever had it, while the body runs.

        Raises ``NotFoundError``, ``ContainerExpiredError``, ``InvalidRequestError``, ``BusyError`` (too many
        terminals; no process left for its shell), ``SandboxFailedError``.
        """
        check_size(size)
        with self._places.taken(project_id):
            async with self._access.use(project_id, container_id) as container:
                terminal = await self._attach(container, size, terminal_id)
            try:
                with terminal.telling as telling:
                    telling.parted("detached")
                    yield terminal
            finally:
                await terminal.aclose()

    async def list(self, project_id: ProjectId, container_id: str) -> tuple[Terminal, ...]:
        """Give a container's terminals, the oldest first. Raises ``NotFoundError``, ``ContainerExpiredError``."""
        async with self._access.use(project_id, container_id) as container:
            with translated():
                try:
                    found = await self._sandboxes.running_agent_of(container).list_terminals()
                except _GONE_FOR:
                    return ()
        # The ids are ours, and come back from where nothing is to be believed.
        listed = (
            Terminal(TerminalId(one.id), container.id, one.size, one.is_attached)
            for one in found
            if is_id("term_", one.id)
        )
        return tuple(sorted(listed, key=lambda one: one.id))

    async def close(self, project_id: ProjectId, container_id: str, terminal_id: str) -> None:
        """End a terminal and hang up on what runs in it. Raises ``NotFoundError``, ``ContainerExpiredError``."""
        async with self._access.use(project_id, container_id) as container:
            known = _known(container, terminal_id)
            with translated():
                try:
                    closed = await self._sandboxes.running_agent_of(container).close_terminal(known)
                except _GONE_FOR:
                    closed = False
        if not closed:
            raise _no_terminal(container, terminal_id)

    async def _attach(self, container: Container, size: TerminalSize, terminal_id: str | None) -> AttachedTerminal:
        if terminal_id is None:
            known, agent = TerminalId(self._ids.new("term_")), self._sandboxes.agent_of(container)
        else:
            known, agent = _known(container, terminal_id), self._sandboxes.running_agent_of(container)
        with translated():
            try:
                if terminal_id is None:
                    connected = await self._start(container, agent, known, size)
                else:
                    connected = await agent.attach_terminal(known, size)
            except AgentRefusedError as error:
                raise self._refused(error, container, known) or error from error
            except _GONE_FOR as error:
                if terminal_id is None:
                    raise
                raise _no_terminal(container, known) from error
        return AttachedTerminal(
            known,
            container,
            connected,
            access=self._access,
            sandboxes=self._sandboxes,
            telling=self._events.call(container.id, known, "terminal"),
            input_timeout_s=self._limits.terminal_input_timeout_s,
        )

    async def _start(
        self, container: Container, agent: AgentClient, terminal_id: TerminalId, size: TerminalSize
    ) -> AgentTerminal:
        if container.network_policy.domain_secrets:
            await agent.hello()  # it may get another sandbox on the way, with another authority
            container = await self._access.find(container.project_id, container.id)
            await self._secrets.let_trust(container, agent)
        return await agent.open_terminal(
            terminal_id,
            size,
            terminals_max=self._limits.terminals_per_container_max,
            environment=self._secrets.environment(container),
        )

    def _refused(
        self, error: AgentRefusedError, container: Container, terminal_id: str
    ) -> NotFoundError | BusyError | None:
        if error.code == "not_found":
            return _no_terminal(container, terminal_id)
        if error.code == "too_many":
            most = self._limits.terminals_per_container_max
            return BusyError(
                f"The container has {most} terminals, the most that it may have; close one first.",
                retry_after_s=60,
                reason="terminals",
            )
        return None


def check_size(size: TerminalSize) -> None:
    """Raise ``InvalidRequestError`` for a terminal that cannot be of this size."""
    check_integer("cols", size.columns, 1, SIZE_MAX)
    check_integer("rows", size.rows, 1, SIZE_MAX)


def _known(container: Container, terminal_id: str) -> TerminalId:
    if not is_id("term_", terminal_id):
        raise _no_terminal(container, terminal_id[:100])
    return TerminalId(terminal_id)


def _no_terminal(container: Container, terminal_id: str) -> NotFoundError:
    return NotFoundError(f"Terminal {terminal_id} not found on container {container.id}.")


def _does_not_read() -> InputOverdueError:
    return InputOverdueError(
        "The program in the terminal does not read what is typed. Connect again and send it a signal."
    )


@contextmanager
def _taken_in_time() -> Iterator[None]:
    try:
        yield
    except AgentOverdueError as error:
        raise _does_not_read() from error
    except (AgentGoneError, ConnectionError):
        return  # whoever reads is told why
