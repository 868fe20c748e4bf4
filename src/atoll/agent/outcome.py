"""How a call ended, as the agent tells it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from atoll.agent.errors import AgentMisbehavedError
from atoll.agent.fields import Fields, read_object, read_optional_integer, read_string

SIGNAL_MAX: Final = 64
EXIT_CODE_MAX: Final = 255


class OutcomeType(StrEnum):
    """``ERROR`` is code that raised; ``DIED`` is a Python process that ended by itself or was killed."""

    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"
    DIED = "died"


@dataclass(frozen=True, slots=True)
class Outcome:
    """``signal`` (1 to 64) and ``exit_code`` (0 to 255) are only ever set when the Python died, at most one of them."""

    type: OutcomeType
    signal: int | None = None
    exit_code: int | None = None


def read_outcome(fields: Fields, allowed: frozenset[OutcomeType]) -> Outcome:
    """Check a result's ``outcome``."""
    value = read_object(fields, "outcome")
    try:
        outcome_type = OutcomeType(read_string(value, "type"))
    except ValueError as error:
        raise AgentMisbehavedError("the outcome is of no known type") from error
    if outcome_type not in allowed:
        raise AgentMisbehavedError(f"this call cannot end with the outcome {outcome_type.value!r}")
    if outcome_type is not OutcomeType.DIED:
        return Outcome(outcome_type)
    signal = read_optional_integer(value, "signal", 1, SIGNAL_MAX)
    exit_code = read_optional_integer(value, "exit_code", 0, EXIT_CODE_MAX)
    return Outcome(outcome_type, signal=signal, exit_code=exit_code if signal is None else None)
