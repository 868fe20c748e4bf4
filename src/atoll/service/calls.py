"""Running code in a container: one call at a time, in order, watched from outside."""

from collections.abc import AsyncGenerator

from atoll.model.calls import PythonCall, PythonEvent, ShellCall, ShellEvent
from atoll.model.ids import ProjectId


class Calls:
    """Use cases of ``code_interpreter_calls``, ``shell_calls``, ``interrupt`` and ``restart``.

    Before its first event a call raises ``NotFoundError``, ``ContainerExpiredError``, ``InvalidRequestError``,
    ``BusyError`` (queue full, or no room to wake the sandbox) or ``SandboxFailedError``. After ``CallStarted`` what
    goes wrong inside the sandbox is told in the output and in the last event.
    """

    def run_python(
        self, project_id: ProjectId, container_id: str, call: PythonCall
    ) -> AsyncGenerator[PythonEvent, None]:
        """Run code; the first event is ``CallStarted``, the last ``PythonEnded``. Closing it interrupts the call."""
        raise NotImplementedError

    def run_shell(self, project_id: ProjectId, container_id: str, call: ShellCall) -> AsyncGenerator[ShellEvent, None]:
        """Run commands; the first event is ``CallStarted``, the last ``ShellEnded``. Closing it interrupts the call."""
        raise NotImplementedError

    async def interrupt(self, project_id: ProjectId, container_id: str) -> bool:
        """Stop the call that runs; tells whether one did. Waiting calls stay in the queue."""
        raise NotImplementedError

    async def restart(self, project_id: ProjectId, container_id: str) -> None:
        """End every process of people's code; the next call has a fresh Python. Files are kept."""
        raise NotImplementedError
