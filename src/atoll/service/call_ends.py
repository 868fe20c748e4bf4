"""What became of a call that did not end by itself, and what the sandbox's limits did to it."""

from atoll.agent.errors import AgentError, AgentMisbehavedError, AgentRefusedError
from atoll.model.calls import EndCause
from atoll.model.containers import Container
from atoll.model.errors import AtollError, NotFoundError
from atoll.runtime.contract import RuntimeFailure
from atoll.service import call_notes
from atoll.service.access import Access
from atoll.service.answer_room import NoAnswerRoomError
from atoll.service.egress import Egress, Refusals
from atoll.service.events import CallTelling
from atoll.service.sandboxes import Sandboxes

FAILURES = (AgentError, RuntimeFailure, AtollError)
"""What can go wrong once a call has begun: told in its output, because its answer has begun too."""


class CallEnds:
    """Looks into it, for whoever watches and for whoever reads."""

    def __init__(self, access: Access, sandboxes: Sandboxes, egress: Egress) -> None:
        self._access = access
        self._sandboxes = sandboxes
        self._egress = egress

    async def explain(self, container: Container, error: Exception) -> tuple[EndCause, str]:
        """Say what became of a call, and stop a sandbox that does not do what it must."""
        try:
            await self._access.find(container.project_id, container.id)
        except NotFoundError:
            return "deleted", call_notes.container_deleted()
        match error:
            case NoAnswerRoomError():
                return "no_room", call_notes.no_room_for_output()
            case AgentRefusedError() | AtollError():
                return "refused", call_notes.refused(error.message)
            case AgentMisbehavedError():
                await self._sandboxes.stop(container)
                return "overdue", call_notes.sandbox_stopped()
        shortage = await self._sandboxes.memory_killed(container)
        if shortage is not None:
            return "memory", call_notes.memory_killed_python(container.memory_limit, shortage)
        return "lost", call_notes.sandbox_ended()

    async def processes_note(self, container: Container, pids_taken: int, telling: CallTelling) -> list[str]:
        """Say that the limit of processes kept some from starting, if it did since it was last looked at."""
        if not self._sandboxes.may_be_full(container, pids_taken):
            return []
        usage = await self._sandboxes.found_full(container, pids_taken)
        if usage is None or usage.pids_max is None:
            return []
        telling.limit("processes")
        return [call_notes.processes_refused(usage.pids_max, usage.pids)]

    async def network_note(self, refusals: Refusals | None) -> list[str]:
        """Say what the network policy did not let out since this was last asked."""
        refused = await self._egress.refused(refusals)
        return [call_notes.network_refused(refused)] if refused else []
