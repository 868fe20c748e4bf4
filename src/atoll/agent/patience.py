"""How long the host waits for an agent before it counts as overdue."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds, each far beyond what an honest agent needs on a loaded machine.

    ``answer_s`` bounds dialling and questions that carry neither people's code nor a file's bytes. ``call_grace_s`` is
    what a call may take beyond its own time-out. ``idle_s`` bounds each step of a transfer or listing, not the
    whole: only standing still is wrong. ``settle_s`` bounds the wait for an uploaded file to be safe on disk.
    """

    answer_s: float = 30.0
    call_grace_s: float = 10.0
    idle_s: float = 30.0
    settle_s: float = 120.0
