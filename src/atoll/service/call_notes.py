"""Lines that the host adds to a call's output, so that whoever reads it knows what happened; pure.

What the agent can see for itself (time-outs, interrupts, a Python that ended, output that was cut) it tells itself.
"""

from atoll.model.memory_limit import MemoryLimit
from atoll.service.tally import MemoryShortage

_LOST = "Variables are lost; files in /mnt/data are kept."


def memory_killed_python(limit: MemoryLimit, shortage: MemoryShortage) -> str:
    """Python was ended for want of memory."""
    return f"[atoll] Python was ended because {_reason(limit, shortage)}. {_LOST}"


def memory_killed_command(limit: MemoryLimit, shortage: MemoryShortage) -> str:
    """A command, or something that it ran, was ended for want of memory."""
    return f"[atoll] The command was ended because {_reason(limit, shortage)}."


def _reason(limit: MemoryLimit, shortage: MemoryShortage) -> str:
    if shortage is MemoryShortage.MACHINE:
        return "the machine's memory for all containers together was used up"
    return f"the container reached its memory limit ({limit})"


def processes_refused(limit: int, left: int) -> str:
    """The limit of processes kept some from starting; ``left`` run now, from this call or those before."""
    note = f"[atoll] The container reached its limit of {limit} processes and threads, so some could not be started."
    if 2 * left < limit:
        return note
    return f"{note} {left} of them still run. A restart of the container ends them all. {_LOST}"


def images_omitted(count: int) -> str:
    """There were more or larger images than a call may give."""
    return f"[atoll] {count} more images were left out: a call gives a limited number and size of them."


def sandbox_ended() -> str:
    """The sandbox went away under the call."""
    return f"[atoll] The container's processes ended during the call. {_LOST}"


def sandbox_stopped() -> str:
    """The host ended the sandbox, because its agent did not do what it must."""
    return "[atoll] The call did not end when it should have, so every process of the container was ended. " + _LOST


def container_deleted() -> str:
    """Somebody deleted the container while the call ran."""
    return "[atoll] The container was deleted during the call."


def no_room_for_output() -> str:
    """Other calls' output took all of the server's memory for it."""
    return (
        "[atoll] The call was ended: there was no room for its output in the server's memory, which that of other "
        "calls fills. Write large results to files in /mnt/data."
    )


def refused(message: str) -> str:
    """The agent honestly said no."""
    return f"[atoll] The call could not be run: {message}"
