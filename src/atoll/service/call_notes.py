"""Lines that the host adds to a call's output, so that whoever reads it knows what happened; pure.

What the agent can see for itself (time-outs, interrupts, a Python that ended, output that was cut) it tells itself.
"""

from collections.abc import Sequence
from typing import Final

from atoll.model.egress_decision import EgressReason
from atoll.model.memory_limit import MemoryLimit
from atoll.service.tally import MemoryShortage

_REFUSALS_TOLD_MAX: Final = 5
_REFUSALS: Final = {
    EgressReason.NAME_NOT_ALLOWED: "allowed_domains does not list it",
    EgressReason.BARE_ADDRESS: "an address without a name; allowed_domains lists names",
    EgressReason.OTHER_NAME: "another name was asked for than was looked up",
    EgressReason.NO_NAME: "the connection did not say which name it wanted",
    EgressReason.ENCRYPTED_HELLO: "the name is hidden in an encrypted TLS hello",
    EgressReason.NOT_TLS: "not TLS, which this port is for",
    EgressReason.NOT_HTTP: "not HTTP, or not of a kind that is let through",
    EgressReason.TOO_SLOW: "silent for too long",
    EgressReason.NOT_RESOLVED: "the name has no address",
    EgressReason.NOT_PUBLIC: "its address is not on the public internet",
    EgressReason.NOT_REACHED: "nobody answered there",
    EgressReason.BYTES_MAX: "the container has moved all the bytes that it may",
    EgressReason.POLICY_CHANGED: "the network policy was changed",
    EgressReason.TLS_FAILED: "TLS to the real server could not be verified",
}
_LOST = "Variables are lost; files in /mnt/data are kept."


def memory_killed_python(limit: MemoryLimit, shortage: MemoryShortage) -> str:
    """Python was ended for want of memory."""
    return f"[atoll] Python was ended because {_reason(limit, shortage)}. {_LOST}"


def memory_killed_command(limit: MemoryLimit, shortage: MemoryShortage) -> str:
    """A command, or something that it ran, was ended for want of memory."""
    return f"[atoll] The command was ended because {_reason(limit, shortage)}."


def memory_killed_program(limit: MemoryLimit, shortage: MemoryShortage) -> str:
    """A program, or something that it ran, was ended for want of memory."""
    return f"The program was ended because {_reason(limit, shortage)}."


def room_made() -> str:
    """There was not even room to start the program."""
    return (
        "The container had no processes or memory left to start this program. All its processes were ended before; "
        + _LOST.lower()
    )


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


def network_refused(refused: Sequence[tuple[str, EgressReason]]) -> str:
    """The container's network policy did not let something out: names, and why."""
    told = [f"{name} ({_REFUSALS.get(reason, reason.value)})" for name, reason in refused[:_REFUSALS_TOLD_MAX]]
    more = f", and {len(refused) - len(told)} more" if len(refused) > len(told) else ""
    return f"[atoll] Not reached over the network: {', '.join(told)}{more}."
