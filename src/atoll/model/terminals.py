"""A terminal in a container, as the API tells of it."""

from dataclasses import dataclass
from typing import Literal

from atoll.model.ids import ContainerId, TerminalId

SIZE_MAX = 1_000
"""The most columns and rows."""

TerminalSignal = Literal["INT", "QUIT", "TSTP", "TERM", "KILL", "HUP"]
"""Signals for the program in the foreground."""

TerminalEndReason = Literal["exited", "taken_over", "closed", "restarted", "failed"]
"""Why a connection to a terminal ended while the container did not."""


@dataclass(frozen=True, slots=True)
class TerminalSize:
    """In characters, each from 1 to ``SIZE_MAX``."""

    columns: int = 80
    rows: int = 24


@dataclass(frozen=True, slots=True)
class Terminal:
    """``is_attached``: somebody is connected to it."""

    id: TerminalId
    container_id: ContainerId
    size: TerminalSize
    is_attached: bool


@dataclass(frozen=True, slots=True)
class TerminalEnded:
    """``exit_code`` or ``signal`` is set when the shell ``exited``."""

    reason: TerminalEndReason
    exit_code: int | None = None
    signal: int | None = None
